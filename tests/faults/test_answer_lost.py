"""The connection to PostgreSQL breaks around a COMMIT: what happened is found out."""

import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import FINISHING, STATEMENT
from tests.support.proxy import proxy

pytestmark = pytest.mark.faults

WIDE = pytest.mark.wide
BREAKS = [
    pytest.param("server", "2", "cut", id="committed, the whole answer lost"),
    pytest.param("server", "Z", "cut", id="committed, the last message lost", marks=WIDE),
    pytest.param("client", "S", "cut", id="executed, never committed"),
    pytest.param("client", "E", "cut", id="bound, never executed", marks=WIDE),
    pytest.param("client", "B", "cut", id="never sent", marks=WIDE),
    pytest.param("client", "S", "cut after", id="cut while it commits", marks=WIDE),
]


@pytest.mark.parametrize(("sender", "kind", "action"), BREAKS)
async def test_a_batch_whose_fate_is_unknown_is_applied_exactly_once(
    new_replica: NewReplica, migrated_database: str, sender, kind: str, action
):
    async with proxy(migrated_database) as between, new_replica(worker_dsn=between.dsn) as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        broken = between.plan(action, sender=sender, kind=kind, statement=STATEMENT, times=2)

        it.load.write(20)
        await it.equal(worker)
        it.load.write(20)
        await it.equal(worker)
        it.load.put("after")
        await it.equal(worker)

        assert broken.met.is_set()
        assert await worker.stop() == 0
        (await it.log()).obeys()


@pytest.mark.parametrize("kind", ["2", "Z"])
async def test_the_lost_answer_to_the_end_of_a_shard_starts_its_children_once(
    new_replica: NewReplica, migrated_database: str, kind: str
):
    async with proxy(migrated_database) as between, new_replica(worker_dsn=between.dsn) as it:
        worker = await it.deployment.start_ready()
        it.load.write(20)
        await it.equal(worker)
        between.plan("cut", sender="server", kind=kind, statement=FINISHING)

        it.table.split(0)
        it.load.write(40)

        await it.equal(worker)
        assert await worker.stop() == 0
        (await it.log()).obeys()


@pytest.mark.long
async def test_a_server_that_falls_silent_is_left_within_the_statements_limit(
    new_replica: NewReplica, migrated_database: str
):
    async with proxy(migrated_database) as between, new_replica(worker_dsn=between.dsn) as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        between.plan("silence", sender="server", kind="2", statement=STATEMENT)

        it.load.write(20)
        await it.equal(worker)
        it.load.put("after")

        await it.equal(worker)
        assert await worker.stop() == 0
        (await it.log()).obeys()
