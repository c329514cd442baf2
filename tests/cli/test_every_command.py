"""Every command as a person mistypes, narrows, pipes and completes it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from replicator.cli.terminal.output import ExitCode
from tests.cli.test_usage import command_names
from tests.docs.test_pages import commands
from tests.support.bounds import USUAL_SECONDS
from tests.support.command import replicator

GROUPS = [["dead-letters"], ["gaps"], ["lambda"]]
COMMANDS = [path for path in command_names() if path not in GROUPS]
REQUIRED = {
    "map": ["--table", "orders"],
    "explain": ["--table", "orders", "--key", "{}"],
    "snapshot": ["--table", "orders"],
    "pause": ["--table", "orders"],
    "resume": ["--table", "orders"],
    "forget": ["--table", "orders", "--yes"],
    "gaps heal": ["--table", "orders"],
    "gaps accept": ["--table", "orders", "--why", "a test"],
    "dead-letters show": ["1"],
    "dead-letters replay": ["--table", "orders"],
    "dead-letters discard": ["1", "--why", "a test"],
    "lambda redrive": ["events.json"],
}
NO_CONFIGURATION = [b"", b"# nothing", b"null", b"- a", b"[]", b"text", b"5", b"~", b"---\n---\n"]
NO_CONFIGURATION += [b"\x00\x01\xff", b"\x89PNG\r\n\x1a\n", b"\xff\xfea\x00", b"{", b"? [a]\n: 1"]
WITHOUT_CONFIGURATION = ("version", "demo", "init")
SHORT = {"--table": "-t", "--config": "-c"}


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("path", [[], *COMMANDS, *GROUPS], ids=" ".join)
async def test_help_fits_the_terminal(
    path: list[str], columns: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", str(columns))

    ended = await replicator(*path, "--help", config=None)

    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= columns


def test_table_and_config_have_their_short_names_in_every_command():
    without = [
        f"{name} {option}"
        for name, command in commands().items()
        for parameter in command.params
        for option, short in SHORT.items()
        if option in parameter.opts and short not in parameter.opts
    ]

    assert without == []


async def test_a_short_name_means_the_long_one(tmp_path: Path):
    absent = str(tmp_path / "absent.yaml")

    short = await replicator("dl", "list", "-t", "orders", "-c", absent, config=None)
    long = await replicator(
        *("dead-letters", "list", "--table", "orders", "--config", absent), config=None
    )

    assert short == long
    assert absent in short.err


@pytest.mark.parametrize("path", [*COMMANDS, *GROUPS], ids=" ".join)
async def test_a_wrong_word_is_named_and_ends_with_2(path: list[str]):
    wrong = await replicator(*path, "--no-such-option", config=None)

    assert wrong.code == ExitCode.WRONG_USAGE
    assert wrong.out == ""
    assert "--no-such-option" in wrong.err


@pytest.mark.parametrize(
    "path", [path for path in COMMANDS if path[0] not in WITHOUT_CONFIGURATION], ids=" ".join
)
async def test_without_a_configuration_it_says_where_one_is_expected(
    path: list[str], tmp_path: Path
):
    absent = tmp_path / "absent.yaml"

    ended = await replicator(*path, *REQUIRED.get(" ".join(path), []), config=absent)

    assert ended.code == ExitCode.WRONG_USAGE, ended.err
    assert ended.out == ""
    assert ended.err == (
        f"replicator: there is no configuration at {absent}\n"
        f"  let `replicator init --table NAME >{absent}` propose one, or name another "
        "with --config or REPLICATOR_CONFIG\n"
    )


@pytest.mark.parametrize(
    "path", [path for path in COMMANDS if path[0] not in WITHOUT_CONFIGURATION], ids=" ".join
)
async def test_a_document_that_is_no_configuration_is_named_and_ends_every_command(
    path: list[str], tmp_path: Path
):
    config = tmp_path / "replicator.yaml"
    for document in NO_CONFIGURATION:
        config.write_bytes(document)

        ended = await replicator(*path, *REQUIRED.get(" ".join(path), []), config=config)

        found, said = ended.code, ended.err
        if path == ["check"] and found == ExitCode.FINDINGS:
            found, said = ExitCode.WRONG_USAGE, ended.out  # its answer is the list of mistakes
        else:
            assert ended.out == "", document
        assert found == ExitCode.WRONG_USAGE, (document, ended.err)
        assert config.name in said, document


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["replicator", "dead-letters", "re"], ["replay"]),
        (["replicator", "verify", "--rep"], ["--repair"]),
        pytest.param(["replicator", "sta"], ["status"], marks=pytest.mark.wide),
        pytest.param(
            ["replicator", "gaps", ""], ["list", "accept", "heal"], marks=pytest.mark.wide
        ),
    ],
)
def test_a_shell_completes_commands_and_options(
    typed: list[str], offered: list[str], tmp_path: Path
):
    program = tmp_path / "replicator"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m replicator "$@"\n')
    program.chmod(0o755)
    words = " ".join(f"'{word}'" for word in typed)
    script = (
        f'PATH="{tmp_path}:$PATH"\n'
        'eval "$(replicator --show-completion bash)"\n'
        f"COMP_WORDS=({words}); COMP_CWORD={len(typed) - 1}\n"
        "_replicator_completion replicator\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    bash = shutil.which("bash")
    assert bash is not None

    ended = subprocess.run(
        [bash, "--norc", "-c", script],
        capture_output=True,
        text=True,
        timeout=USUAL_SECONDS,
        check=False,
    )

    assert ended.stderr == ""
    assert [word for word in ended.stdout.split() if word in offered] == offered
