"""The runbook walked: whoever does only what `status` prints ends with every table well."""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import NAMED_SECONDS, WORKERS_UNHEARD, Replica
from tests.faults.test_gaps import DOWN_HOURS, applied_then_stopped
from tests.support.daemon import Worker
from tests.support.wide import wide_but

pytestmark = pytest.mark.faults

REFUSED = {
    "a denied call": (
        "AccessDeniedException",
        "unread",
        ("AccessDeniedException", "grant the action"),
    ),
    "a wrong clock": (
        "RequestTimeTooSkewed",
        "unread",
        ("clock", "credentials are not what is wrong"),
    ),
}
"""An error of AWS, the kind of problem, and words that its text and remedy have."""


async def problem_of(
    it: Replica, worker: Worker, meant: Callable[[Mapping[str, Any]], bool]
) -> Mapping[str, Any]:
    """The problem that `status` prints first, once it is the one that is meant."""

    async def printed() -> Any:
        told = json.loads((await it.deployment.asked("status", "--json")).stdout)
        first = next(iter(told["problems"]), None)
        return first if told["verdict"] != "well" and first and meant(first) else None

    problem: Mapping[str, Any] = await worker.until(
        printed, what="`status` names it first", after=NAMED_SECONDS
    )
    return problem


def commands_of(remedy: str) -> list[str]:
    """The commands and statements that a remedy has, in order."""
    return re.findall(r"`((?:replicator|select) [^`]+)`", remedy) or [remedy]


async def do_as_printed(it: Replica, remedy: str, *, number: int = -1) -> None:
    """Run one of the commands that a remedy has, or its statement; usually the last."""
    await do(it, commands_of(remedy)[number])


async def do(it: Replica, words: str) -> None:
    """Run a printed command or statement as it stands."""
    if words.startswith("select "):
        await it.execute(words)
        return
    assert words.startswith("replicator "), words
    done = await it.deployment.command(*shlex.split(words)[1:])
    assert done.code == 0, done.text


async def all_is_well(it: Replica, worker: Worker) -> None:
    await it.equal(worker)

    async def well() -> bool:
        told = json.loads((await it.deployment.asked("status", "--json")).stdout)
        return bool(told["verdict"] == "well")

    await worker.until(well, what="`status` says that all is well")


async def test_a_lock_is_ended_by_the_statement_that_is_printed(new_replica: NewReplica):
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        holder = await asyncpg.connect(it.dsn)
        try:
            await holder.execute("begin; lock table public.orders in access exclusive mode")
            it.load.write(20)
            problem = await problem_of(it, worker, lambda each: "is locked by" in each["what"])

            await do_as_printed(it, problem["remedy"])

            await all_is_well(it, worker)
        finally:
            holder.terminate()
        assert await worker.stop() == 0


async def test_a_halted_table_goes_on_by_the_command_that_is_printed(new_replica: NewReplica):
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        await it.execute(
            "alter table public.orders add constraint never check (pk is null) not valid"
        )
        it.load.write(20)
        problem = await problem_of(it, worker, lambda each: each["kind"] == "halted")
        assert "never" in problem["what"]  # the cause, which a person takes away
        assert problem["since_seconds"] is not None
        await it.execute("alter table public.orders drop constraint never")

        await do_as_printed(it, problem["remedy"])

        await all_is_well(it, worker)
        assert await worker.stop() == 0


@pytest.mark.parametrize("verb", ["snapshot", pytest.param("gaps accept", marks=pytest.mark.wide)])
async def test_a_gap_is_over_by_each_command_that_is_printed(new_replica: NewReplica, verb: str):
    async with new_replica(hours_behind=DOWN_HOURS) as it:
        await applied_then_stopped(it)
        await it.age(DOWN_HOURS)
        it.streams.advance(hours=DOWN_HOURS)
        worker = await it.deployment.start_ready()
        problem = await problem_of(it, worker, lambda each: each["kind"] == "gap")
        [command] = [each for each in commands_of(problem["remedy"]) if f" {verb} " in each]

        await do(it, command)

        await all_is_well(it, worker)
        assert await worker.stop() == 0


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    # every error's words are held by tests/contract/test_odd_answers.py
    wide_but("a denied call", of=REFUSED),
)
async def test_calls_that_are_refused_are_told_with_what_mends_them(
    new_replica: NewReplica, error: str, kind: str, words: tuple[str, ...]
):
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        for operation in ("GetRecords", "GetShardIterator"):
            it.streams.fail(operation, error, times=None)
        it.load.write(20)
        problem = await problem_of(it, worker, lambda each: each["kind"] == kind)
        text = problem["what"] + problem["remedy"]
        assert [word for word in words if word not in text] == []
        it.streams.heal()  # which stands for the right that is granted, the clock that is set

        await all_is_well(it, worker)
        assert await worker.stop() == 0


@pytest.mark.wide
async def test_a_stream_that_is_not_described_any_more_is_named_when_a_shard_ends(
    new_replica: NewReplica,
):
    """The children of the shard are never found; nothing of the shard itself is missing."""
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        it.streams.fail("DescribeStream", "AccessDeniedException", times=None)
        it.table.roll_over(it.table.open_shards()[0])
        it.load.write(20)

        problem = await problem_of(it, worker, lambda each: "DescribeStream" in each["what"])

        assert problem["table"] == "orders"

        async def behind() -> bool:
            table = await worker.table("orders")
            lag = table.get("lag_seconds") or 0.0
            return lag > 0 and (await worker.get("/readyz?table=orders"))[0] == 503

        await worker.until(behind, what="lag grows, and nobody may rely on the table")
        it.streams.heal()
        await all_is_well(it, worker)
        assert await worker.stop() == 0


async def test_a_worker_that_cannot_write_its_row_is_not_called_stopped(new_replica: NewReplica):
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        await it.execute(
            "create function public.no() returns trigger language plpgsql as"
            " $$ begin raise insufficient_privilege; end $$;"
            "create trigger no before insert or update on replicator.worker"
            " for each row execute function public.no();"
            f"alter table replicator.worker disable trigger no; {WORKERS_UNHEARD};"
            "alter table replicator.worker enable trigger no"
        )
        it.load.write(20)
        await it.equal(worker)

        problem = await problem_of(it, worker, lambda each: each["kind"] == "silent")

        assert "cannot write its row" in problem["what"]
        told = json.loads((await it.deployment.command("status", "--json")).stdout)
        assert told["verdict"] == "unknown"
        assert worker.entries("task failed")
        await it.execute("drop trigger no on replicator.worker")
        await all_is_well(it, worker)
        assert await worker.stop() == 0


@pytest.mark.wide
async def test_a_lease_table_that_is_throttled_is_told_with_what_mends_it(
    new_replica: NewReplica,
):
    async with new_replica() as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        error = "ProvisionedThroughputExceededException"
        for operation in ("Scan", "BatchGetItem", "UpdateItem", "PutItem"):
            it.streams.fail(operation, error, times=None)
        problem = await problem_of(it, worker, lambda each: each["kind"] == "look")
        assert error in problem["what"]
        assert "capacity" in problem["remedy"]
        it.streams.heal()  # which stands for the capacity that is raised

        await all_is_well(it, worker)
        assert await worker.stop() == 0
