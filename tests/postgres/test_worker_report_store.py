"""What workers have to show for their work is told once each few seconds, and read by anybody."""

from datetime import timedelta

from replicator.core.status.worker_report import (
    Failure,
    LateShard,
    TableReport,
    WorkerReport,
)
from replicator.postgres.control.status_reads import read_knowledge
from replicator.postgres.control.worker_heartbeats import WorkerHeartbeats
from replicator.postgres.control.worker_report_store import tell_report
from tests.support.builders import NOON
from tests.support.control import control_pool, control_schema

LATE = LateShard("arn", "shard-0", 3.0, 2.5, NOON, "the table is locked", "look at pg_locks")
EVIDENCE = WorkerReport(
    NOON,
    looked_seconds=1.5,
    idle_seconds_max=2.0,
    tables={"orders": TableReport("f", 4, 20.0, 3.0, (LATE,), {"discover": Failure("no", 2.0)})},
    failures={"look": Failure("the lease table is away", 0.5, "wait")},
)


async def test_what_is_told_is_read_as_it_was_with_the_time_since(migrated_database: str):
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders")
        await WorkerHeartbeats(pool).seen("one", version="0", leases=1)
        await tell_report(pool, "one", EVIDENCE, {})

        knowledge, now = await read_knowledge(pool)

    [worker] = knowledge.workers
    assert worker.report == EVIDENCE
    assert worker.told_seconds_ago is not None
    assert now - NOON == timedelta(seconds=worker.told_seconds_ago)


async def test_a_worker_without_a_look_yet_is_seen_and_shares_nothing(migrated_database: str):
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders")
        await tell_report(pool, "one", EVIDENCE, {}, first_of_version="0")

        knowledge, _ = await read_knowledge(pool)

        assert knowledge.living == {"one"}
        assert await WorkerHeartbeats(pool).living(within_seconds=3600) == frozenset()


async def test_a_worker_that_has_left_stays_away(migrated_database: str):
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders")
        await WorkerHeartbeats(pool).seen("one", version="0", leases=1)
        await WorkerHeartbeats(pool).gone("one")
        await tell_report(pool, "one", EVIDENCE, {})

        assert (await read_knowledge(pool))[0].workers == ()


async def test_a_worker_that_tells_nothing_or_in_another_form_has_no_evidence(
    migrated_database: str,
):
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders")
        await WorkerHeartbeats(pool).seen("older", version="0", leases=1)
        await WorkerHeartbeats(pool).seen("newer", version="0", leases=1)
        await control.connection.execute(
            """update replicator.worker set told_at = now(), evidence = '{"form": 2}'"""
            " where id = 'newer'"
        )

        knowledge, _ = await read_knowledge(pool)

    assert [worker.report for worker in knowledge.workers] == [None, None]
    assert knowledge.living == {"older", "newer"}


async def test_only_living_workers_count(migrated_database: str):
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders", "carts")
        for worker in ("one", "two", "gone"):
            await WorkerHeartbeats(pool).seen(worker, version="0", leases=1)
            await tell_report(pool, worker, EVIDENCE, {"orders": 5, "carts": 1})
        await tell_report(pool, "two", EVIDENCE, {"orders": 7})
        await control.connection.execute(
            "update replicator.worker set seen_at = now() - interval '2 minutes',"
            " told_at = now() - interval '2 minutes'"
            " where id = 'gone'"
        )

        knowledge, _ = await read_knowledge(pool)

    assert knowledge.throughput == {"orders": 12, "carts": 1}
