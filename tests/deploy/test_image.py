"""The image, built from the Dockerfile and started: as its own user, on a read-only root."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.deploy.image import Image, ImageToolMissing, base
from tests.end_to_end.conftest import one_emulator
from tests.lambda_mode.conftest import own_database
from tests.support.comparison import read_rows
from tests.support.daemon import Deployment, Worker, cold_start, configuration
from tests.support.endpoints import create_table, dynamodb_client
from tests.support.lambda_events import event, put
from tests.support.lambda_function import LambdaTable
from tests.support.lambda_runtime import Environment
from tests.support.missing_part import skip_without
from tests.support.ports import kept_port

__all__ = ["own_database"]  # a fixture

INSTALLERS = {"pip", "pip3", "uv", "hatchling"}
UNCHECKED = (1).to_bytes(4, "little")
"""In a compiled file: made from a hash of its source, which nobody is to check."""
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With the base image."""
    scratch = tmp_path_factory.mktemp("image")
    try:
        with base(scratch):
            yield scratch
    except ImageToolMissing as missing:
        skip_without(missing)
    shutil.rmtree(scratch)


@pytest.fixture(scope="module")
def image(scratch: Path) -> Image:
    return Image(scratch, "daemon")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For a configuration that the image's user can read."""
    tmp_path.chmod(0o755)
    return tmp_path


def test_it_says_how_it_is_to_be_run(image: Image):
    told = image.configuration

    assert told["User"] == "10001:10001"
    assert (told["Entrypoint"], told["Cmd"]) == (["replicator"], ["run"])
    assert told["Healthcheck"]["Test"][0] == "CMD"
    assert told["ExposedPorts"].keys() == {"8080/tcp"}
    assert {
        f"org.opencontainers.image.{name}"
        for name in ("title", "description", "licenses", "version")
    } <= told["Labels"].keys()


def test_it_holds_no_installer_and_nothing_that_its_user_may_change(image: Image):
    places = [image.root / name for name in ("app", "etc", "usr")]
    found = [path for place in places for path in (place, *place.rglob("*"))]
    owned = [path for path in found if path.lstat().st_uid == 10001]
    open_to_all = [path for path in found if not path.is_symlink() and path.lstat().st_mode & 0o002]

    assert owned == []
    assert open_to_all == []
    assert [path for path in found if path.name in INSTALLERS] == []


def test_its_bytecode_is_used_as_it_is(image: Image):
    """Times of files are rounded on the way, and what is judged by them is compiled anew."""
    compiled = list((image.root / "app/lib").rglob("*.pyc"))

    assert len(compiled) > 500
    assert {path.read_bytes()[4:8] for path in compiled} == {UNCHECKED}


@one_emulator
async def test_it_migrates_and_replicates_on_a_read_only_root(
    image: Image,
    dynamodb_endpoint: str,
    database: str,
    table_name: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
):
    entry = {"initial_load": "stream", "into": {"public.orders": {}}}
    settings = configuration(
        endpoint_url=dynamodb_endpoint,
        dsn=database,
        tables={table_name: entry},
        deployment=f"image-{table_name}",
    )
    async with dynamodb_client(dynamodb_endpoint) as client:
        await create_table(client, table_name)
        await client.put_item(TableName=table_name, Item={"pk": {"S": "a"}})
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    environment |= {"REPLICATOR_HTTP__HOST": "127.0.0.1", "REPLICATOR_HTTP__PORT": str(kept_port())}
    async with Deployment(folder, settings) as deployment:
        deployment.path.write_text(json.dumps(settings))

        def words(*program: str) -> list[str]:
            return image.words(folder, *program, environment=environment)

        def healthy() -> int:
            check = image.configuration["Healthcheck"]["Test"][1:]
            return subprocess.run(words(*check), capture_output=True, check=False).returncode

        asked = time.monotonic()
        worker = Worker(
            words("replicator", "run", "--migrate"), folder / "image.log", start=cold_start
        )
        deployment.workers.append(worker)

        async def started() -> bool:
            return bool(worker.entries("started"))

        async def alive() -> bool:
            return (await worker.get("/healthz"))[0] == 200

        async def replicated() -> bool:
            return bool(await read_rows(database, "public.orders", key=("pk",)))

        await worker.until(started, what="it serves its pages")
        await worker.until(alive, what="it answers")
        seconds = time.monotonic() - asked
        assert healthy() == 0
        await worker.until(replicated, what="the row is there")
        assert await worker.stop() == 0
        assert healthy() != 0
    with capsys.disabled():
        size = image.size_bytes / 1_000_000
        print(f"\nthe image adds {size:.0f} MB to its base, and answers after {seconds:.1f} s")  # noqa: T201 (figures for docs/operations)


def test_with_the_packages_of_traces_it_sends_spans(scratch: Path, folder: Path):
    image = Image(scratch, "daemon", "REQUIREMENTS=otel")
    asked = "import replicator.cli, opentelemetry.exporter.otlp.proto.http as found; print(found)"

    shown = subprocess.run(
        image.words(folder, "python", "-c", asked, environment={}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert shown.returncode == 0, shown.stderr


def test_the_image_of_the_function_applies_an_event(
    scratch: Path, own_database: str, folder: Path, capsys: pytest.CaptureFixture[str]
):
    image = Image(scratch, "lambda")
    told = image.configuration
    table = LambdaTable(own_database, folder)
    table.configure()

    def words(environment: Mapping[str, str]) -> list[str]:
        program = [*told["Entrypoint"], *told["Cmd"]]
        return image.words(folder, *program, environment=environment, place="/mnt")

    environ = {**table.environ, "REPLICATOR_CONFIG": "/mnt/replicator.yaml"}
    asked = time.monotonic()
    with Environment(environ, folder / "function.log", words=words) as environment:
        invocation = environment.invoke(event(put(1)))
        seconds = time.monotonic() - asked

    assert invocation.answer == {"batchItemFailures": []}, (folder / "function.log").read_text()
    assert table.rows() == {"a": 1}
    with capsys.disabled():
        size = image.size_bytes / 1_000_000
        print(f"\nthe function adds {size:.0f} MB to its base, and answers after {seconds:.1f} s")  # noqa: T201 (figures for docs/operations)
