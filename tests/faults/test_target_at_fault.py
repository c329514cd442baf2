"""What is the target's fault halts its table with PostgreSQL's words; no change is set aside."""

import re

import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import Replica
from tests.support.bounds import lease
from tests.support.daemon import Worker
from tests.support.postgres_versions import needs_transaction_timeout
from tests.support.wide import wide_but

pytestmark = pytest.mark.faults

FAULTS = {
    "no replica identity": (
        "create publication everything for table public.orders;"
        "alter table public.orders replica identity nothing",
        "55000.*does not have a replica identity.*hint: To enable updating the table"
        "|is published, and has no replica identity",
        "alter table public.orders replica identity default",
    ),
    "a publication with a filter outside the replica identity": (
        "create publication positive for table public.orders where (n > 0)",
        "42P10.*not part of the replica identity|a publication filters its rows by 'n'",
        "drop publication positive",
    ),
    "an exhausted sequence": (
        "alter table public.orders add id bigserial;"
        "alter sequence orders_id_seq maxvalue 1000000000 restart 1000000000 no cycle;"
        "select nextval('orders_id_seq')",
        "2200H.*reached maximum value of sequence.*orders_id_seq"
        "|the sequence public.orders_id_seq of the column 'id' has no values left",
        "alter table public.orders drop id",
    ),
    "a trigger that refuses everything": (
        """
        create function closed() returns trigger language plpgsql as $$
        begin
            raise exception 'closed for %', new.pk;
        end $$;
        create trigger closed after insert or update on public.orders
            for each row execute function closed()
        """,
        "refuses every row.*P0001",
        "drop trigger closed on public.orders",
    ),
    "a check that nothing passes": (
        "alter table public.orders add constraint never check (pk is null) not valid",
        "refuses every row.*23514.*never",
        "alter table public.orders drop constraint never",
    ),
}
"""Statements, the reason of the halt, and what mends it. The words are PostgreSQL's, or those of
`check` where a survey came first."""


async def is_halted(worker: Worker) -> str:
    async def halted() -> bool:
        return (await worker.table("orders")).get("state") == "halted"

    await worker.until(halted, what="the table is halted")
    reason: str = (await worker.shown_table("orders"))["reason"]
    return reason


@pytest.mark.parametrize(
    ("fault", "words", "mended"),
    wide_but("no replica identity", "an exhausted sequence", of=FAULTS),
)
async def test_a_fault_of_the_table_halts_it_and_sets_nothing_aside(
    new_replica: NewReplica, fault: str, words: str, mended: str
):
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        it.load.write(20)
        await it.equal(worker)
        await it.execute(fault)

        it.load.write(20)
        reason = await is_halted(worker)

        assert re.search(words, reason), reason
        assert await it.sql("select from replicator.dead_letter") == []
        await it.execute(mended)
        resumed = await it.deployment.command("resume", "--table", "orders", "--why", "mended")
        assert resumed.code == 0, resumed.stderr
        await it.equal(worker)
        assert await worker.stop() == 0


async def test_a_limit_on_transactions_makes_batches_smaller(new_replica: NewReplica):
    """The server ends the session; the batch is halved until it fits into the time."""
    async with new_replica() as it:
        await needs_transaction_timeout(it.sql)
        await slow_rows(it, seconds_for_each=lease(1.5) / 20)  # three times the limit, in one
        await limit_sessions(it, transaction_timeout=lease(1.5))
        it.load.write_everywhere([f"key {number}" for number in range(60)])
        worker = it.deployment.start()

        await it.equal(worker)

        assert await it.sql("select from replicator.dead_letter") == []
        assert await worker.stop() == 0


async def test_a_limit_that_not_one_record_keeps_halts_with_its_name(new_replica: NewReplica):
    async with new_replica() as it:
        await needs_transaction_timeout(it.sql)
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        await slow_rows(it, seconds_for_each=5)
        await limit_sessions(it, transaction_timeout=lease(1.5))
        await it.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name like 'replicator%'"
        )
        it.load.write(3)

        reason = await is_halted(worker)

        assert "a single record takes longer than transaction_timeout allows" in reason
        assert await it.sql("select from replicator.dead_letter") == []
        assert await worker.stop() == 3


async def test_a_partitioned_target_is_written_and_verified(new_replica: NewReplica):
    async with new_replica() as it:
        await it.execute(
            "create table parts (like public.orders including all) partition by hash (pk);"
            "create table leaf partition of parts for values with (modulus 1, remainder 0);"
            "drop table public.orders; alter table parts rename to orders"
        )
        worker = await it.deployment.start_ready()
        it.load.write(40)
        await it.equal(worker)

        verified = await it.deployment.command("verify", "--json")

        assert "Traceback" not in verified.stderr
        assert verified.code == 0, verified.stdout + verified.stderr
        assert await worker.stop() == 0


async def slow_rows(it: Replica, *, seconds_for_each: float) -> None:
    """Each row takes its time."""
    await it.execute(
        f"""
        create function watch.slow() returns trigger language plpgsql as $$
        begin
            perform pg_sleep({seconds_for_each});
            return null;
        end $$;
        create trigger slow after insert or update on public.orders
            for each row execute function watch.slow()
        """
    )


async def limit_sessions(it: Replica, **limits: float) -> None:
    """Time limits, in seconds, of the sessions that begin from now on."""
    [[name]] = await it.sql("select current_database()")
    for limit, seconds in limits.items():
        await it.execute(f"alter database {name} set {limit} = '{seconds}s'")
