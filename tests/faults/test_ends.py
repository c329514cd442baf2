"""How a run ends that has a stopped, denied or unreachable table beside a sound one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import Replica
from tests.support.nobody import PORT_OF_NOBODY

pytestmark = pytest.mark.faults


@dataclass(frozen=True)
class Case:
    """Something done to `orders` before a run, and the exit codes of both kinds of runs."""

    harm: Callable[[Replica], Awaitable[None]]
    until_caught_up: int
    told_to_end: int


async def nothing(_: Replica) -> None:
    """All is well."""


async def halted(it: Replica) -> None:
    await it.execute("update replicator.table_state set halted = true where source = 'orders'")


async def paused(it: Replica) -> None:
    done = await it.deployment.command("pause", "--table", "orders")
    assert done.code == 0, done.text


async def gapped(it: Replica) -> None:
    await it.execute(
        "insert into replicator.gap (deployment, source, stream_arn, kind, detail)"
        " select deployment, source, 'arn', 'possible', 'a test' from replicator.table_state"
        " where source = 'orders'"
    )


async def position_lost(it: Replica) -> None:
    it.load.write(20)
    assert (await it.deployment.run_until_caught_up()).code == 0
    await it.execute("delete from replicator.shard where source = 'orders'")


async def stream_off(it: Replica) -> None:
    it.table.disable_stream()


async def table_dropped(it: Replica) -> None:
    del it.streams.world.tables["orders"]


async def unreachable(it: Replica) -> None:
    it.settings["source"] = {"endpoint_url": f"http://127.0.0.1:{PORT_OF_NOBODY}"}


async def description_denied(it: Replica) -> None:
    it.streams.fail("DescribeTable", "AccessDeniedException", table="orders", times=None)


async def listing_denied(it: Replica) -> None:
    it.streams.fail("DescribeStream", "AccessDeniedException", table="orders", times=None)


async def reading_denied(it: Replica) -> None:
    it.streams.fail("GetRecords", "AccessDeniedException", table="orders", times=None)
    it.streams.fail("GetShardIterator", "AccessDeniedException", table="orders", times=None)


async def pages_damaged(it: Replica) -> None:
    it.streams.wrong_checksum("GetRecords", table="orders", times=None)


CASES = {
    case.harm.__name__: case
    for case in [
        Case(nothing, 0, 0),
        Case(halted, 3, 3),
        Case(gapped, 3, 3),
        Case(paused, 3, 0),
        Case(position_lost, 3, 3),
        Case(stream_off, 3, 3),
        Case(table_dropped, 3, 3),
        Case(unreachable, 3, 0),
        Case(description_denied, 3, 0),
        Case(listing_denied, 3, 0),
        Case(reading_denied, 3, 0),
        Case(pages_damaged, 3, 0),
    ]
}


GIVEN_UP = (unreachable, description_denied, reading_denied, pages_damaged)
"""Like `listing_denied`: a run waits for them, and gives up after twenty seconds."""
STOPPED = (gapped, position_lost, table_dropped)
"""Like `halted` and `stream_off`: a run stops at once, and names its table."""
OF_RUNS = [
    pytest.param(case, id=name, marks=[pytest.mark.wide] if case.harm in GIVEN_UP + STOPPED else [])
    for name, case in CASES.items()
]


@pytest.mark.parametrize("case", OF_RUNS)
async def test_a_run_until_caught_up_finishes_the_others_and_ends(
    new_replica: NewReplica, case: Case
):
    async with new_replica(tables=("orders", "others")) as it:
        await case.harm(it)
        it.load.write(20)
        it.loads["others"].write(20)

        worker = await it.deployment.run_until_caught_up()

        assert worker.code == case.until_caught_up, worker.tail()
        await it.equal(worker, name="others")
        if worker.code == 3:
            assert "stopped: orders;" in worker.text()


@pytest.mark.parametrize("case", OF_RUNS)
async def test_a_run_goes_on_with_the_others_until_it_is_told_to_end(
    new_replica: NewReplica, case: Case
):
    async with new_replica(tables=("orders", "others")) as it:
        await case.harm(it)
        worker = await it.deployment.start_ready()
        it.loads["others"].write(20)
        await it.equal(worker, name="others")

        async def noticed() -> bool:
            """A halt that the run itself makes is made before it is told to end."""
            [row] = await it.sql(
                "select halted from replicator.table_state where source = 'orders'"
            )
            return case.told_to_end == 0 or case.harm is gapped or bool(row["halted"])

        await worker.until(noticed, what="the table is stopped")
        assert await worker.stop() == case.told_to_end
