"""A repair on a real server: who else may write while it runs, and when none may begin."""

from collections.abc import AsyncIterator

import pytest

from replicator.core.snapshots import SnapshotFacts
from replicator.errors import ConfigurationError
from replicator.postgres.incidents import Incidents
from replicator.postgres.repairs import begin_repair
from tests.postgres.loaded import Loaded, registered
from tests.support.builders import record, table_mapping


@pytest.fixture
async def table(database: str) -> AsyncIterator[Loaded]:
    loaded = await registered(database, table_mapping())
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
    await Incidents(table.database).set_paused(table.name, paused=True, who="ada", why=None)

    with pytest.raises(ConfigurationError, match="is stopped"):
        await begun(table)
