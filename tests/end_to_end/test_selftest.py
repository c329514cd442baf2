"""`replicator selftest` against the emulators: equal, facts told, everything deleted."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.command import replicator
from tests.support.endpoints import table_names

ROOT = Path(__file__).parents[2]
EMULATED = {"creation times", "iterator that never existed", "source's clock", "page size"}
"""Facts that an emulator may have otherwise than AWS."""


async def scratch_of(stage: Stage) -> list[str]:
    """Tables and schemas that self-tests have left."""
    tables = await table_names(stage.client)
    connection = await asyncpg.connect(stage.dsn)
    try:
        schemas = await connection.fetch(
            "select nspname from pg_namespace where starts_with(nspname, 'replicator_selftest_')"
        )
    finally:
        await connection.close()
    return [name for name in tables if name.startswith("replicator-selftest-")] + [
        row["nspname"] for row in schemas
    ]


def configured(stage: Stage) -> Path:
    """A configuration whose own table does not exist: the self-test needs none."""
    path = stage.directory / "selftest.yaml"
    document = {
        "version": 1,
        "deployment": "own",
        "source": {"region": "us-east-1", "endpoint_url": stage.url},
        "target": {"dsn": stage.dsn},
        "tables": {"orders": {"into": {"public.orders": {}}}},
    }
    path.write_text(json.dumps(document))
    return path


async def test_both_sides_are_equal_and_nothing_is_left(stage: Stage):
    ended = await replicator("selftest", "--yes", "--json", config=configured(stage))

    found = ended.document
    assert found["equal"] is True, ended.err
    broken = {fact["name"] for fact in found["facts"] if fact["holds"] is False}
    assert broken <= EMULATED
    assert ended.code == (0 if found["well"] else 1)
    assert {table["target"].split(".")[1] for table in found["tables"]} == {"typed", "documents"}
    assert all(table["compared"] > 0 for table in found["tables"])
    assert await scratch_of(stage) == []


@one_emulator
async def test_nothing_begins_without_a_word(stage: Stage):
    ended = await replicator("selftest", config=configured(stage))

    assert ended.code == 2
    assert "--yes" in ended.err
    assert "cent" in ended.err
    assert await scratch_of(stage) == []


@pytest.mark.wide
@one_emulator
async def test_interrupted_it_deletes_what_it_made(stage: Stage):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "replicator",
        "selftest",
        "--yes",
        "--config",
        str(configured(stage)),
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stderr is not None
    async for line in process.stderr:
        if b"changes of every type" in line:
            process.send_signal(signal.SIGINT)
            break
    rest = await process.stderr.read()

    assert await process.wait() == 130, rest
    assert await scratch_of(stage) == []


@one_emulator
async def test_what_an_earlier_one_left_is_named_and_deleted(stage: Stage):
    left = "replicator-selftest-0ld"
    await stage.client.create_table(
        TableName=left,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    ended = await replicator("selftest", "--clean", config=configured(stage))

    assert ended.code == 0
    assert left in ended.err
    assert await scratch_of(stage) == []
