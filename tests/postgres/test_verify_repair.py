"""A repair on a real server: who else may write while it runs, and when none may begin."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from replicator.app.verify_repair import Asked, repair
from replicator.clock import SystemClock
from replicator.core.snapshot.scan_responses import FoundItems, ScanPage, Segment
from replicator.core.snapshot.snapshot_state import SnapshotFacts
from replicator.core.stream_record import Image
from replicator.engine.snapshot.read_rate_limit import ReadPacing
from replicator.engine.verify.repair_rows import Faulty
from replicator.errors import ConfigurationError, SourceDenied
from replicator.postgres.control.snapshot.verify_repair_snapshots import begin_repair
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts
from tests.postgres.loaded import Loaded, registered
from tests.support.builders import record, table_mapping


@pytest.fixture
async def table(migrated_database: str) -> AsyncIterator[Loaded]:
    loaded = await registered(migrated_database, table_mapping())
    yield loaded
    await loaded.database.close()


async def begun(table: Loaded) -> SnapshotFacts:
    number = await begin_repair(
        table.database, table.name, ["public.t"], keys=1, who="ada", why=None
    )
    [repair] = [each for each in await table.known() if each.id == number]
    return repair


async def test_what_the_stream_writes_while_a_repair_runs_stays(table: Loaded):
    await table.sql("insert into public.t values ('back', 0), ('gone', 0)")
    repair = await begun(table)
    items = await table.claim(repair, 0)
    await table.apply(record(5, "read", event="insert", n={"N": "5"}))
    await table.apply(record(6, "back", event="insert", n={"N": "6"}))

    await table.load(items, "read", "missing")
    await table.sweep(await table.claim(repair, 1), "back", "gone")

    rows = await table.sql("select pk, n from public.t order by pk")
    assert rows == [("back", 6), ("missing", 1), ("read", 5)]


async def test_no_repair_begins_beside_another_one(table: Loaded):
    await begun(table)

    with pytest.raises(ConfigurationError, match="is under way"):
        await begun(table)


async def test_no_repair_of_a_table_that_is_stopped_begins(table: Loaded):
    await GapsAndHalts(table.database).set_paused(table.name, paused=True, who="ada", why=None)

    with pytest.raises(ConfigurationError, match="is stopped"):
        await begun(table)


async def test_a_table_that_lambda_writes_is_lambdas_while_it_is_repaired_and_after(table: Loaded):
    mode = "select mode from replicator.table_state"
    await table.sql("update replicator.table_state set mode = 'lambda'")

    repair = await begun(table)
    assert await table.sql(mode) == [("lambda",)]
    assert await table.snapshots.abandon(repair)
    assert not await table.snapshots.abandon(repair)

    assert await table.sql(mode) == [("lambda",)]


@dataclass
class Items:
    """A source table with one item, or one that may not be read."""

    denied: bool = False

    async def scan(self, segment: Segment, *, after: str | None, items_max: int) -> ScanPage:
        raise NotImplementedError

    async def get(self, keys: Sequence[Image]) -> FoundItems:
        if self.denied:
            raise SourceDenied("no right to read it")
        there = {"pk": {"S": "there"}, "n": {"N": "1"}}
        asked = [key["pk"] for key in keys]
        images = [memoryview(json.dumps(there).encode())] if there["pk"] in asked else []
        return FoundItems(images, [], 1.0)


async def repaired(table: Loaded, items: Items) -> None:
    keys: list[Image] = [{"pk": {"S": "there"}}, {"pk": {"S": "gone"}}]
    clock = SystemClock()
    await repair(
        table.database,
        table.mapping,
        ReadPacing(100.0, clock).reader(items),
        [Faulty(table.mapping.targets[0], keys)],
        Asked("ada", None),
        observe=lambda _: None,
        clock=clock,
    )


STATE = "select mode, (select state from replicator.snapshot) from replicator.table_state"


async def test_a_repair_writes_what_is_there_and_removes_what_is_not(table: Loaded):
    await table.sql("insert into public.t values ('gone', 0), ('there', 0), ('beside', 0)")

    await repaired(table, Items())

    rows = await table.sql("select pk, n from public.t order by pk")
    assert rows == [("beside", 0), ("there", 1)]
    assert await table.sql(STATE) == [("fence", "done")]


async def test_a_repair_that_cannot_read_its_items_does_not_leave_the_table_guarded(table: Loaded):
    await table.sql("insert into public.t values ('gone', 0)")

    with pytest.raises(SourceDenied):
        await repaired(table, Items(denied=True))

    assert await table.sql(STATE) == [("fence", "cancelled")]
    assert await table.sql("select pk from public.t") == [("gone",)]
