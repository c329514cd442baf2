"""A target that becomes unfit below a running worker: its table halts, and goes on once mended."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import Replica
from tests.faults.test_walks import all_is_well, do_as_printed, problem_of
from tests.support.daemon import Worker
from tests.support.wide import wide_but

pytestmark = pytest.mark.faults

HARMS = {
    "it is not logged": ("alter table public.orders set unlogged", "is not logged"),
    "another unique index": (
        "create unique index other on public.orders (payload)",
        "the unique index 'other' \\(payload\\) is not the key",
    ),
    "a column that rounds": (
        "alter table public.orders alter column n type real",
        "has the type real",
    ),
    "a table that inherits from it": (
        "create table public.heir () inherits (public.orders)",
        "has tables that inherit from it \\(public.heir\\)",
    ),
    "another table that refers to it": (
        'create table public.other (pk text collate "C" references public.orders'
        " on delete cascade)",
        "the foreign key 'other_pk_fkey' of another table refers to it",
    ),
    "a trigger before each row": (
        "create trigger early before update on public.orders"
        " for each row execute function suppress_redundant_updates_trigger()",
        "the trigger 'early' runs before each row",
    ),
    "a table that is gone": ("alter table public.orders rename to gone", "is missing"),
}
"""Statements, and the words of `check`; no write meets any of these, and most would not fail."""
DROPS = """
create function public.drops() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        return null;
    end if;
    if new.n % 3 = 0 then
        return null;
    end if;
    return new;
end $$;
create trigger drops before insert or update or delete on public.orders
    for each row execute function public.drops()
"""


def says(words: str) -> Any:
    def meant(problem: Mapping[str, Any]) -> bool:
        return problem["kind"] == "halted" and re.search(words, problem["what"]) is not None

    return meant


async def mended_as_printed(it: Replica, worker: Worker, words: str) -> None:
    """Do what `status` prints: the statement of the remedy, then its command."""
    problem = await problem_of(it, worker, says(words))
    statements = problem["remedy"].split("; then run ")[0]
    await it.execute(re.split(r", (?:or|before|unless) ", statements)[0])
    await do_as_printed(it, problem["remedy"])


@pytest.mark.parametrize(
    ("statement", "words"),
    wide_but("a column that rounds", "a trigger before each row", "a table that is gone", of=HARMS),
)
async def test_a_table_that_nobody_writes_halts_with_the_words_of_check(
    new_replica: NewReplica, statement: str, words: str
):
    async with new_replica(tables=("orders", "others")) as it:
        it.deployment.settings["poll"]["discover_seconds"] = 1
        worker = await it.deployment.start_ready()
        it.load.write(20)
        await it.equal(worker)
        await it.execute(statement)

        problem = await problem_of(it, worker, says(words))

        assert problem["table"] == "orders"
        it.loads["others"].write(20)
        await it.equal(worker, name="others")
        assert await worker.stop() == 3


async def test_a_trigger_that_drops_rows_in_silence_costs_none(new_replica: NewReplica):
    """The survey is far away: it is the statement of the first batch that sees the trigger."""
    async with new_replica() as it:
        it.deployment.settings["poll"]["discover_seconds"] = 40
        worker = await it.deployment.start_ready()
        it.load.write(60)
        await it.equal(worker)
        await it.execute(DROPS)
        before = await it.rows()
        it.load.write(60)

        await problem_of(it, worker, says("the trigger 'drops' runs before each row"))
        assert await it.rows() == before
        await mended_as_printed(it, worker, "the trigger 'drops' runs before each row")

        await all_is_well(it, worker)
        assert await it.sql("select from replicator.dead_letter") == []
        assert await worker.stop() == 0


async def test_a_halt_that_is_resumed_before_it_is_mended_comes_back(new_replica: NewReplica):
    async with new_replica() as it:
        it.deployment.settings["poll"]["discover_seconds"] = 1
        worker = await it.deployment.start_ready()
        it.load.write(20)
        await it.equal(worker)
        await it.execute("alter table public.orders set unlogged")
        problem = await problem_of(it, worker, says("is not logged"))
        await do_as_printed(it, problem["remedy"])

        async def halted_again() -> bool:
            return len(worker.entries("table halted")) > 1

        await worker.until(halted_again, what="the table is halted again")
        it.load.write(20)
        await mended_as_printed(it, worker, "is not logged")
        await all_is_well(it, worker)
        assert await worker.stop() == 0
