"""Work goes from one worker to the next: given back on SIGTERM, taken from one that is frozen."""

import signal
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tests.end_to_end import witness
from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.watched import Watched, watched
from tests.support.bounds import lease
from tests.support.scripted_streams import scripted_streams

pytestmark = pytest.mark.faults

LEASE_SECONDS = lease(60.0)
"""Longer than the test may wait: who starts sooner did not wait for an expiry."""
LONGEST_LEASE = timedelta(minutes=10)
"""A configuration may say no longer one; it outlasts what a test may take."""


async def lease_rows(stage: Stage, it: Watched) -> list[dict[str, Any]]:
    table = it.deployment.settings["coordination"]["table"]
    answer = await stage.client.scan(TableName=table, ConsistentRead=True)
    return list(answer["Items"])


async def positions(dsn: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(
            "select shard_id, owner, epoch, last_sequence_number::text as position"
            " from replicator.shard where last_sequence_number is not null"
        )
    finally:
        await connection.close()


async def test_sigterm_under_load_leaves_nothing_to_wait_for(stage: Stage):
    async with watched(stage, seed=5, lease_seconds=LEASE_SECONDS) as it:
        worker = await it.deployment.start_ready()
        async with it.under_load():
            await it.writes_more(worker)

            assert await worker.stop() == 0

            rows = {
                row["leaseKey"]["S"].rpartition(":")[2]: row for row in await lease_rows(stage, it)
            }
            assert rows
            assert all("leaseOwner" not in row for row in rows.values())
            for shard in await positions(it.dsn):
                assert shard["owner"] is None
                assert int(rows[shard["shard_id"]]["checkpoint"]["S"]) == int(shard["position"])

            heir = it.deployment.start()
            await it.writes_more(heir, seconds=LEASE_SECONDS / 2)
        await it.equal(heir)
        assert await heir.stop() == 0
        await witness.assert_nothing_twice(it.dsn)


async def test_a_worker_frozen_beyond_its_lease_writes_nothing_when_it_wakes(stage: Stage):
    async with watched(stage, seed=6, lease_seconds=lease(1.0)) as it:
        frozen = await it.deployment.start_ready()
        async with it.under_load():
            await it.writes_more(frozen)
            frozen.signal(signal.SIGSTOP)
            heir = it.deployment.start()
            await it.writes_more(heir)
            frozen.signal(signal.SIGCONT)

            async def knows() -> bool:
                return bool(
                    await frozen.total("replicator_fenced_total")
                    + await frozen.total("replicator_leases_lost_total")
                )

            await frozen.until(knows, what="the frozen worker knows that it is superseded")
            await it.writes_more(heir)
        await it.equal(heir)

        assert len({write.session for write in await witness.written(it.dsn)}) == 2
        await witness.assert_written_by_claimants(it.dsn)
        assert {await frozen.stop(), await heir.stop()} == {0}
        await witness.assert_nothing_twice(it.dsn)


@one_emulator
async def test_a_page_read_before_a_freeze_is_refused_although_nobody_wrote_since(stage: Stage):
    """Only the epoch tells the old claim from the new one: the position is the same.

    The frozen worker believes in its lease for longer than the test takes: it neither drops the
    page as one that others may have read, nor takes back what it believes to be its own.
    """
    async with await scripted_streams(forward=stage.url) as streams:
        table = streams.table("held")
        entry = {
            "table": "held",
            "initial_load": "stream",
            "into": {"public.held": {"columns": {"change": "bigint"}}},
        }
        deployment = stage.deployment(
            {"held": entry},
            endpoint_url=streams.endpoint_url,
            lease_seconds=LONGEST_LEASE.total_seconds(),
        )
        async with deployment:
            await deployment.migrate()
            await witness.install(stage.dsn, "public.held", key=("pk",))
            frozen = await deployment.start_ready()
            table.put({"pk": {"S": "a"}, "change": {"N": "1"}})

            async def first() -> bool:
                return await witness.count(stage.dsn) == 1

            await frozen.until(first, what="the first change is applied")

            async def held() -> bool:
                return streams.pending_faults() == 0

            streams.hold("GetRecords")
            await frozen.until(held, what="a read is held")
            table.put({"pk": {"S": "a"}, "change": {"N": "2"}})
            frozen.signal(signal.SIGSTOP)
            streams.release()  # the page waits in the frozen worker's socket
            streams.hold("GetRecords", times=None)
            [before] = await positions(stage.dsn)
            deployment.settings["coordination"]["lease_seconds"] = lease(1.0)
            heir = deployment.start()

            async def claimed() -> bool:
                [now] = await positions(stage.dsn)
                return bool(now["epoch"] > before["epoch"])

            await heir.until(claimed, what="the heir has claimed the shard")
            frozen.signal(signal.SIGCONT)

            async def fenced() -> bool:
                return await frozen.total("replicator_fenced_total") > 0

            await frozen.until(fenced, what="the frozen worker is fenced")
            assert await witness.count(stage.dsn) == 1

            streams.heal("GetRecords")

            async def second() -> bool:
                return await witness.count(stage.dsn) == 2

            await heir.until(second, what="the heir applies the change")
            assert {await frozen.stop(), await heir.stop()} == {0}
        sessions = [write.session for write in await witness.written(stage.dsn)]
        assert sessions[0] != sessions[1]
