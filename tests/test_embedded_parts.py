"""The servers that tests and demonstration run on do what both rely on."""

import re
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from replicator.demo.embedded_servers import (
    EmbeddedPartUnavailable,
    EmbeddedPostgres,
    embedded_dynamodb,
)
from tests.support.endpoints import create_table, dynamodb_client, streams_client
from tests.support.ministack import LOCKED, ROOT, missing_ministack
from tests.support.postgres import fresh_database
from tests.support.waiting import becomes_true

pytestmark = pytest.mark.both_emulators


async def test_a_put_appears_in_the_stream(dynamodb_endpoint: str, table_name: str):
    async with (
        dynamodb_client(dynamodb_endpoint) as dynamodb,
        streams_client(dynamodb_endpoint) as streams,
    ):
        stream = await create_table(dynamodb, table_name)
        await dynamodb.put_item(TableName=table_name, Item={"pk": {"S": "a"}, "n": {"N": "1.50"}})

        description = await streams.describe_stream(StreamArn=stream)
        [shard] = description["StreamDescription"]["Shards"]
        iterator = await streams.get_shard_iterator(
            StreamArn=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        page = await streams.get_records(ShardIterator=iterator["ShardIterator"])

    [record] = page["Records"]
    assert record["eventName"] == "INSERT"
    assert record["dynamodb"]["NewImage"] == {"pk": {"S": "a"}, "n": {"N": "1.5"}}


async def test_a_fresh_database_is_empty_ones_own_and_dropped(postgres_server: str):
    async with (
        fresh_database(postgres_server, template="template0") as mine,
        fresh_database(postgres_server, template="template0") as yours,
    ):
        await ask(mine, "create table only_mine ()")

        assert await ask(mine, "select count(*) from pg_stat_user_tables") == 1
        assert await ask(yours, "select count(*) from pg_stat_user_tables") == 0

    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await ask(mine, "select 1")


async def ask(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("immediate", [False, True])
async def test_postgres_keeps_its_data_and_port_when_started_again(
    own_postgres: EmbeddedPostgres, immediate: bool
):
    before = own_postgres.dsn
    connection = await asyncpg.connect(before)
    await connection.execute("create table kept as select 1 as id")

    own_postgres.stop(immediate=immediate)
    with pytest.raises(OSError, match="onnect"):
        await asyncpg.connect(before)
    connection.terminate()
    own_postgres.start()

    assert own_postgres.dsn == before
    assert await ask(before, "select count(*) from kept") == 1


OWNER = """
import sys
from replicator.demo.embedded_servers import embedded_postgres
with embedded_postgres() as postgres:
    print(postgres.directory, flush=True)
    sys.stdin.read()
"""


def test_a_server_ends_and_leaves_nothing_when_its_owner_is_killed():
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        directory = Path(owner.stdout.readline().strip())
        present_while_running = (directory / "data" / "postmaster.pid").exists()
        owner.kill()

    assert present_while_running
    # the directory goes last, when the server has ended
    assert becomes_true(lambda: not directory.exists())


def test_a_missing_emulator_is_one_message_with_the_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REPLICATOR_MINISTACK", "/nowhere/ministack")

    with (
        pytest.raises(EmbeddedPartUnavailable, match="/nowhere/ministack") as caught,
        embedded_dynamodb(),
    ):
        pass

    assert caught.value.remedy is not None
    assert "REPLICATOR_MINISTACK" in caught.value.remedy


def test_a_checkout_that_lacks_the_emulator_or_has_another_says_what_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The environment of the tests has one too, of another version: it would be taken."""
    monkeypatch.delenv("REPLICATOR_MINISTACK", raising=False)
    program = tmp_path / "bin/ministack"
    packages = tmp_path / "lib/python3.11/site-packages"
    missing = missing_ministack(tmp_path)
    assert missing is not None
    assert "make .emulators/ministack/bin/ministack" in missing
    assert "MINISTACK := .emulators/ministack/bin/ministack" in (ROOT / "Makefile").read_text()

    program.parent.mkdir()
    program.touch(mode=0o755)
    (packages / "ministack-1.0.0.dist-info").mkdir(parents=True)
    assert missing_ministack(tmp_path) == missing

    [locked] = re.findall(r"^ministack==(\S+)", LOCKED.read_text(), re.MULTILINE)
    (packages / f"ministack-{locked}.dist-info").mkdir()
    assert missing_ministack(tmp_path) is None
