"""Six kinds of items in one table, changing kind and leaving filters: all is equal after kills."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.bounds import scaled
from tests.support.comparison import assert_equal, read_rows
from tests.support.daemon import Worker
from tests.support.shop import KEYS, SALT, Change, Shop, by_item, into, read_history

LANES = 4
ROUND_MAX = 20
SIZES = [
    (800, 2),
    pytest.param(50_000, 5, marks=pytest.mark.long),
]


async def write(stage: Stage, table: str, changes: list[Change]) -> None:
    """Make changes in the order of each item, several items at a time."""
    lanes: list[list[Change]] = [[] for _ in range(LANES)]
    numbers: dict[tuple[str, str], int] = {}
    for change in changes:
        lane = numbers.setdefault(change[:2], len(numbers) % LANES)
        lanes[lane].append(change)
    async with asyncio.TaskGroup() as writing:
        for lane_changes in lanes:
            writing.create_task(_lane(stage, table, lane_changes))


async def _lane(stage: Stage, table: str, changes: list[Change]) -> None:
    requests: dict[tuple[str, str], dict[str, Any]] = {}
    for pk, sk, _, after in changes:
        if (pk, sk) in requests or len(requests) == ROUND_MAX:
            await _send(stage, table, list(requests.values()))
            requests = {}
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        requests[pk, sk] = (
            {"DeleteRequest": {"Key": key}} if after is None else {"PutRequest": {"Item": after}}
        )
    if requests:
        await _send(stage, table, list(requests.values()))


async def _send(stage: Stage, table: str, requests: list[dict[str, Any]]) -> None:
    answer = await stage.client.batch_write_item(RequestItems={table: requests})
    assert not answer["UnprocessedItems"]


@one_emulator
@pytest.mark.parametrize(("count", "kills"), SIZES)
async def test_six_kinds_of_items_in_one_table_are_equal_after_kills(
    stage: Stage, count: int, kills: int
):
    table = await stage.create_table("shop", {"pk": "S", "sk": "S"})
    salt = stage.directory / "salt"
    salt.write_text(SALT)
    entry = {
        "table": table,
        "initial_load": "stream",
        "max_dead_letters": 1_000_000,
        "personal": {"email": "hash", "city": "mask"},
        "unmatched": "shop.others",
        "into": into(),
    }
    shop = Shop(seed=count)
    changes = list(shop.changes(count))
    async with stage.deployment({"shop": entry}) as deployment:
        deployment.settings["hashing"] = {"salt_file": str(salt)}
        await deployment.migrate()
        size = count // kills + 1
        worker: Worker | None = None
        for start in range(0, count, size):
            worker = await deployment.start_ready()
            await write(stage, table, changes[start : start + size])
            worker.kill()
        last = await deployment.run_until_caught_up(seconds=scaled(900))
        assert last.code == 0

    for name, key in KEYS.items():
        assert shop.targets[name], name
        assert_equal(shop.targets[name], await read_rows(stage.dsn, name, key=key))
    for name, entries in shop.histories.items():
        assert await read_history(stage.dsn, name) == by_item(entries), name
    assert shop.letters == await open_letters(stage)
    await nothing_personal_is_in_clear(stage)


async def open_letters(stage: Stage) -> set[tuple[str, str, str]]:
    """Target and key of each item that waits for a person; none waits twice."""
    connection = await asyncpg.connect(stage.dsn)
    try:
        rows = await connection.fetch(
            "select target, item_key from replicator.dead_letter where state = 'open'"
        )
    finally:
        await connection.close()
    keys = [(row["target"], json.loads(row["item_key"])) for row in rows]
    found = {(target, key["pk"]["S"], key["sk"]["S"]) for target, key in keys}
    assert len(found) == len(rows) > 0
    return found


async def nothing_personal_is_in_clear(stage: Stage) -> None:
    connection = await asyncpg.connect(stage.dsn)
    try:
        for table in (*KEYS, "audit.orders", "audit.tasks", "replicator.dead_letter"):
            found = await connection.fetchval(
                f"select count(*) from {table} as t where t::text ~ '@example[.]org|London'"
            )
            assert found == 0, table
    finally:
        await connection.close()
