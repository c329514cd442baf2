"""Tables that were left out when a worker started are taken up by it, without a restart."""

from typing import Any

import pytest

from tests.faults.conftest import NewReplica
from tests.support.daemon import Worker
from tests.support.load import Load
from tests.support.ports import kept_port
from tests.support.scripted_streams import scripted_streams

pytestmark = pytest.mark.faults


async def test_a_table_whose_stream_was_off_at_the_start_goes_on_with_the_command_that_is_printed(
    new_replica: NewReplica,
):
    async with new_replica(tables=("orders", "others")) as it:
        it.table.disable_stream()
        worker = await it.deployment.start_ready()

        async def halted() -> bool:
            return (await worker.table("orders")).get("state") == "halted"

        await worker.until(halted, what="the table is halted")
        [told] = worker.entries("table halted")
        command = told["remedy"].rpartition("`replicator ")[2].partition("`")[0]
        early = await it.deployment.command(*command.split())
        assert early.code == 0, early.text

        async def told_again() -> bool:
            return len(worker.entries("table halted")) == 2

        await worker.until(told_again, what="the cause is still there, so the halt comes back")
        it.table.enable_stream()
        done = await it.deployment.command(*command.split())
        assert done.code == 0, done.text
        it.load.write(20)

        await it.equal(worker)
        assert worker.entries("table taken up")
        assert await worker.stop() == 0


async def test_a_source_that_cannot_be_reached_at_the_start_is_tried_again_beside_the_others(
    new_replica: NewReplica,
):
    async with new_replica(tables=("orders", "others")) as it:
        port = kept_port()
        it.settings["source"] = {"endpoint_url": f"http://127.0.0.1:{port}"}
        worker = await it.deployment.start_ready()
        it.loads["others"].write(20)
        await it.equal(worker, name="others")
        failed = failure_of(worker, "orders")
        assert failed["level"] == "warning"
        assert "region and endpoint_url" in failed["remedy"]

        async with await scripted_streams(port=port) as back:
            it.tables["orders"] = back.table("orders")
            Load(it.table).write(20)
            await it.equal(worker)
            await recovered(worker, "orders")
            assert await worker.stop() == 0


async def test_a_table_that_is_denied_at_the_start_is_tried_again_beside_the_others(
    new_replica: NewReplica,
):
    async with new_replica(tables=("orders", "others")) as it:
        it.streams.fail("DescribeTable", "AccessDeniedException", table="orders", times=None)
        worker = await it.deployment.start_ready()
        it.load.write(20)
        it.loads["others"].write(20)
        await it.equal(worker, name="others")
        assert "grant the action" in failure_of(worker, "orders")["remedy"]

        it.streams.heal()

        await it.equal(worker)
        await recovered(worker, "orders")
        assert await worker.stop() == 0


def failure_of(worker: Worker, table: str) -> dict[str, Any]:
    """The first that is told of a table: it is told before the worker is ready."""
    return next(line for line in worker.entries("task failed") if line["table"] == table)


async def recovered(worker: Worker, table: str) -> None:
    async def said() -> bool:
        return any(line["table"] == table for line in worker.entries("recovered"))

    await worker.until(said, what="it says that the table recovered")
