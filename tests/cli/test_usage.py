"""What every command has in common: help, exit codes, one clear message, never a traceback."""

import json
import os
import re
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import typer

from replicator import __version__
from replicator.cli import app
from replicator.cli.terminal.output import (
    ExitCode,
    exit_code_of,
    print_document,
    print_table,
    printable,
)
from replicator.errors import (
    ConfigurationError,
    MigrationDue,
    ReplicatorError,
    SchemaMismatch,
    SinkUnavailable,
    SourceUnavailable,
)
from tests.support.bounds import USUAL_SECONDS
from tests.support.command import replicator

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "replicator"]


def command_names() -> list[list[str]]:
    """Every command, groups walked into."""

    def walk(command, path: list[str]):
        for name, inner in getattr(command, "commands", {}).items():
            yield [*path, name]
            yield from walk(inner, [*path, name])

    return sorted(walk(typer.main.get_command(app), []))


def run(*arguments: str, directory: Path = ROOT, text: str = "", **environ: str):
    return subprocess.run(
        [*PROGRAM, *arguments],
        input=text,
        capture_output=True,
        text=True,
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT), **environ},
        timeout=USUAL_SECONDS,
        check=False,
    )


@pytest.mark.parametrize("path", [[], ["gaps"], ["dead-letters"], ["lambda"]], ids=str)
def test_the_list_of_commands_cuts_nothing_off(path: list[str]):
    listed = run(*path, "--help", COLUMNS="80").stdout.partition("Commands:")[2]

    assert listed
    assert "..." not in listed


@pytest.mark.parametrize("word", ["version", "--version"])
def test_version_says_which(word: str):
    ended = run(word)

    assert ended.returncode == 0
    assert ended.stdout.startswith(f"replicator {__version__} ")


def test_version_as_json_is_one_document_and_nothing_else():
    ended = run("version", "--json")

    document = json.loads(ended.stdout)
    assert (document["schema_version"], document["version"]) == (1, __version__)


@pytest.mark.parametrize("arguments", [[], *command_names()], ids=" ".join)
async def test_every_command_has_help_with_an_example(arguments: list[str]):
    ended = await replicator(*arguments, "--help", config=None)

    assert ended.code == 0
    assert ended.err == ""
    assert re.search(r"Example: .*replicator", ended.out, re.DOTALL), ended.out


@pytest.mark.parametrize("arguments", [["--help"], ["version"]])
def test_help_and_version_import_no_client(arguments: list[str]):
    heavy = {"aioboto3", "aiohttp", "asyncpg", "alembic", "sqlalchemy", "structlog", "yaml", "rich"}
    program = (
        f"import sys; sys.argv = ['replicator', *{arguments!r}]\n"
        "from replicator.cli import main\n"
        "try: main()\n"
        f"finally: print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )

    assert (ended.returncode, ended.stderr.strip()) == (0, "[]")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vrsion"], "version"),
        (["version", "--jsn"], "--json"),
        (["map"], "--table"),
        (["map", "--table"], "--table"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_hint(arguments: list[str], message: str):
    ended = run(*arguments)

    assert ended.returncode == ExitCode.WRONG_USAGE
    assert ended.stdout == ""
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_configuration_is_one_message_with_its_remedy(tmp_path: Path):
    ended = run("map", "--table", "orders", directory=tmp_path)

    assert ended.returncode == ExitCode.WRONG_USAGE
    assert ended.stdout == ""
    assert ended.stderr == (
        "replicator: there is no configuration at replicator.yaml\n"
        "  let `replicator init --table NAME >replicator.yaml` propose one, or name another "
        "with --config or REPLICATOR_CONFIG\n"
    )


def test_a_wrong_configuration_is_one_message_with_all_mistakes(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("deploymnt: x\ntables: 3\n", encoding="utf-8")

    ended = run("--config", "mine.yaml", "map", "--table", "orders", directory=tmp_path)

    assert ended.returncode == ExitCode.WRONG_USAGE
    assert "mine.yaml:1: deploymnt: is not a known key" in ended.stderr
    assert "mine.yaml:2: tables: must be a mapping" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config", "mine.yaml", "map", "--table", "none"],
        ["map", "--config", "mine.yaml", "--table", "none"],
        pytest.param(
            ["--config", "absent.yaml", "map", "--config", "mine.yaml", "--table", "none"],
            marks=pytest.mark.wide,
        ),
    ],
)
def test_the_configuration_is_named_before_or_after_the_command(tmp_path: Path, arguments):
    text = "deployment: d\ntables: {nine: {into: {public.nine: {}}}}\n"
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")

    ended = run(*arguments, directory=tmp_path)

    assert ended.stderr == (
        "replicator: the configuration has no table 'none'\n  did you mean nine?\n"
    )


def test_a_reader_that_leaves_is_no_failure():
    ended = subprocess.run(
        ["bash", "-c", '"$@" | true; exit ${PIPESTATUS[0]}', "bash", *PROGRAM, "version"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )

    assert ended.returncode in (ExitCode.FINE, ExitCode.PIPE_CLOSED)
    assert ended.stderr == ""


def test_an_interrupt_is_quiet(tmp_path: Path):
    text = "deployment: d\ntables: {orders: {into: {public.orders: {}}}}\n"
    (tmp_path / "replicator.yaml").write_text(text, encoding="utf-8")
    program = (
        "import os, signal, sys\n"
        "sys.argv = ['replicator', 'map', '--table', 'orders', '--keys', 'pk:S']\n"
        "from replicator.cli import main\n"
        "class Input:\n"
        "    buffer = property(lambda self: self)\n"
        "    isatty = staticmethod(lambda: False)\n"
        "    def read(self): os.kill(os.getpid(), signal.SIGINT); signal.pause()\n"
        "sys.stdin = Input()\n"
        "main()"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        timeout=USUAL_SECONDS,
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (ExitCode.INTERRUPTED, "", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError, ExitCode.WRONG_USAGE),
        (MigrationDue, ExitCode.WRONG_USAGE),
        (SinkUnavailable, ExitCode.COULD_NOT_TELL),
        (SourceUnavailable, ExitCode.COULD_NOT_TELL),
        (SchemaMismatch, ExitCode.STOPPED),
    ],
)
def test_a_named_failure_has_its_exit_code(error: type[ReplicatorError], code: ExitCode):
    assert exit_code_of(error("why")) is code


def test_a_document_keeps_every_digit_and_what_is_no_unicode(capsys):
    print_document({"price": Decimal("1.23456789012345678901234567890123456789")})
    assert '"price": 1.23456789012345678901234567890123456789' in capsys.readouterr().out

    print_document({"text": "\ud83d"})
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "text": "\ud83d"}


def test_a_table_is_plain_where_nobody_watches(capsys):
    print_table(["table", "lag"], [["orders", "0.1 s"], ["a\tb\x1b[2J", "2 s"]])

    assert capsys.readouterr().out.splitlines() == [
        "table        lag",
        "orders       0.1 s",
        "a\\tb\\x1b[2J  2 s",
    ]


def test_what_is_printed_cannot_steer_a_terminal():
    assert printable("ä\x1b]0;x\x07\u202e") == "ä\\x1b]0;x\\x07\\u202e"
