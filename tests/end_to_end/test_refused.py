"""What cannot work is refused with one message that says what to do, and never with a traceback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.comparison import read_rows
from tests.support.daemon import Deployment, Worker, configuration
from tests.support.ports import kept_port
from tests.support.scripted_streams import ScriptedStreams, scripted_streams

ENTRY: dict[str, Any] = {"initial_load": "stream", "into": {"public.orders": {}}}


@asynccontextmanager
async def deployed(directory: Path, dsn: str) -> AsyncIterator[tuple[Deployment, ScriptedStreams]]:
    """A deployment of the table `orders` in a scripted DynamoDB; nothing is migrated."""
    async with await scripted_streams() as streams:
        streams.table("orders")
        settings = configuration(
            endpoint_url=streams.endpoint_url,
            dsn=dsn,
            tables={"orders": deepcopy(ENTRY)},
            deployment="test",
        )
        async with Deployment(directory, settings) as deployment:
            yield deployment, streams


def at(dsn: str, **parts: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(**parts))


def unknown_key(settings: dict[str, Any], _: ScriptedStreams) -> None:
    settings["tabels"] = settings.pop("tables")


def unknown_type(settings: dict[str, Any], _: ScriptedStreams) -> None:
    settings["tables"]["orders"]["into"]["public.orders"] = {"columns": {"n": "bigin"}}


def another_database(settings: dict[str, Any], _: ScriptedStreams) -> None:
    settings["target"]["dsn"] = at(settings["target"]["dsn"], path="/nowhere")


def another_role(settings: dict[str, Any], _: ScriptedStreams) -> None:
    place = urlsplit(settings["target"]["dsn"])
    settings["target"]["dsn"] = at(
        settings["target"]["dsn"], netloc=f"nobody:secret@{place.hostname}:{place.port}"
    )


def missing_table(settings: dict[str, Any], _: ScriptedStreams) -> None:
    settings["tables"]["orders"] = {**ENTRY, "table": "orders-of-last-year"}


def stream_off(_: dict[str, Any], streams: ScriptedStreams) -> None:
    streams.world.tables["orders"].disable_stream()


def keys_only(settings: dict[str, Any], streams: ScriptedStreams) -> None:
    streams.table("keys", view="KEYS_ONLY")
    settings["tables"] = {"keys": ENTRY}


def nothing(_: dict[str, Any], __: ScriptedStreams) -> None:
    """All is well, but nobody has run `migrate`."""


CASES: list[tuple[Callable[[dict[str, Any], ScriptedStreams], None], bool, list[str]]] = [
    (unknown_key, False, ["tabels", "tables"]),
    (unknown_type, False, ["bigin", "bigint"]),
    (another_database, False, ["nowhere", "does not exist"]),
    (another_role, False, ["nobody"]),
    (missing_table, False, ["orders-of-last-year", "create it"]),
    (stream_off, True, ["orders", "no stream", "update-table"]),
    (keys_only, False, ["KEYS_ONLY", "NEW_AND_OLD_IMAGES"]),
    (nothing, False, ["replicator migrate"]),
]


@pytest.mark.parametrize(
    ("spoil", "migrated", "words"), CASES, ids=[spoil.__name__ for spoil, _, _ in CASES]
)
async def test_run_ends_with_2_and_says_why(
    tmp_path: Path,
    database: str,
    spoil: Callable[[dict[str, Any], ScriptedStreams], None],
    migrated: bool,
    words: list[str],
):
    async with deployed(tmp_path, database) as (deployment, streams):
        if migrated:
            await deployment.migrate()
        spoil(deployment.settings, streams)

        ended = await deployment.command("run")

    assert ended.code == 2, ended.text
    assert "Traceback" not in ended.text
    assert "secret" not in ended.text
    [message] = [line for line in ended.stderr.splitlines() if line.startswith("replicator: ")]
    said = ended.stderr[ended.stderr.index(message) :]
    assert [word for word in words if word not in said] == [], said


async def waiting(worker: Worker, *words: str) -> None:
    """Wait until it says in /readyz and in its log what it waits for, and lives."""

    async def said() -> bool:
        code, body = await worker.get("/readyz")
        return code == 503 and all(word in body and word in worker.text() for word in words)

    await worker.until(said, what=f"it is not ready because of {words}")
    assert (await worker.get("/healthz"))[0] == 200
    assert await worker.stop() == 0
    assert "Traceback" not in worker.text()


async def test_a_postgres_that_is_not_there_is_waited_for_and_check_cannot_tell(
    tmp_path: Path, database: str
):
    async with deployed(tmp_path, database) as (deployment, _):
        port = kept_port()
        deployment.settings["target"]["dsn"] = f"postgresql://postgres@127.0.0.1:{port}/app"
        worker = deployment.start()
        checking = asyncio.create_task(deployment.command("check"))

        await waiting(worker, str(port))

        checked = await checking
        assert checked.code == 4, checked.text
        assert "Traceback" not in checked.text
        assert str(port) in checked.text


async def test_credentials_that_aws_does_not_know_are_a_finding_and_waited_for(
    tmp_path: Path, database: str
):
    async with deployed(tmp_path, database) as (deployment, streams):
        await deployment.migrate()
        streams.fail("*", "UnrecognizedClientException", times=None)
        worker = deployment.start()
        checking = asyncio.create_task(deployment.command("check"))

        await waiting(worker, "UnrecognizedClientException")

        checked = await checking
        assert checked.code == 1, checked.text
        assert "UnrecognizedClientException" in checked.text
        assert "AWS_ACCESS_KEY_ID" in checked.text
        assert "Traceback" not in checked.text


@one_emulator
async def test_one_table_that_is_missing_does_not_stop_the_other(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    async with stage.deployment({"orders": {**ENTRY, "table": table}}) as deployment:
        await deployment.migrate()
        deployment.settings["tables"]["gone"] = {**ENTRY, "into": {"public.gone": {}}}
        await stage.client.put_item(TableName=table, Item={"pk": {"S": "a"}})

        worker = await deployment.run_until_caught_up()

    assert worker.code == 3, worker.tail()
    assert "there is no DynamoDB table 'gone'" in worker.text()
    assert "Traceback" not in worker.text()
    assert await read_rows(stage.dsn, "public.orders", key=("pk",)) == {
        ("a",): {"pk": "a", "data": {}}
    }
