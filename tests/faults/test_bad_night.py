"""Problems of a bad night: each is first in `status` and on the page, and its printed command ends
it. tests/faults/test_walks.py walks those whose cause takes longer to bring about.
"""

import json
import re
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.conftest import NewReplica
from tests.faults.replica import NAMED_SECONDS, UNHEARD_HOURS, WORKERS_UNHEARD, Replica
from tests.faults.test_walks import all_is_well, commands_of, do, do_as_printed
from tests.support.daemon import Worker
from tests.support.stream_builders import item
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults

LETTERS_MAX = 2


@dataclass(frozen=True)
class Trouble:
    """`brings` it about, is found by `kind`, and `cured` takes its cause away, if it has one."""

    brings: Callable[[Replica, Worker], Awaitable[Any]]
    kind: str
    words: str
    cured: Callable[[Replica, Worker], Awaitable[Any]] | None = None


async def killed(it: Replica, worker: Worker) -> None:
    worker.kill()
    await it.execute(WORKERS_UNHEARD)
    await it.age(UNHEARD_HOURS)


async def paused(it: Replica, _: Worker) -> None:
    done = await it.deployment.command("pause", "--table", "orders", "--why", "a test")
    assert done.code == 0, done.text


async def mapping_changed(it: Replica, _: Worker) -> None:
    into = it.settings["into"] = deepcopy(it.settings["into"])
    into["public.orders"]["on_expire"] = "ignore"  # which changes no row of these
    await it.deployment.migrate()


async def restarted(it: Replica, worker: Worker) -> None:
    assert await worker.stop() in (0, 3)
    await it.deployment.start_ready()


async def too_many_dead_letters(it: Replica, _: Worker) -> None:
    for number in range(LETTERS_MAX + 1):
        it.table.put(item(f"key-{number:06d}", n="no number"))


async def written_again(it: Replica, _: Worker) -> None:
    for number in range(LETTERS_MAX + 1):
        it.load.put(f"key-{number:06d}")


TROUBLES = {
    "no worker lives": Trouble(killed, "workers", "none was seen"),
    "somebody paused it": Trouble(paused, "paused", "a test"),
    "a worker has the former mapping": Trouble(
        mapping_changed, "mapping", "mapping", cured=restarted
    ),
    "too many dead letters": Trouble(
        too_many_dead_letters, "halted", f"max_dead_letters ({LETTERS_MAX})", cured=written_again
    ),
}


@pytest.mark.parametrize("name", TROUBLES)
async def test_a_problem_of_a_bad_night_is_first_everywhere_and_over_as_printed(
    new_replica: NewReplica, name: str
):
    trouble = TROUBLES[name]
    async with new_replica(options={"max_dead_letters": LETTERS_MAX}) as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        await trouble.brings(it, worker)

        problem = await told_first(trouble, lambda: printed(it), by="`status`")
        if worker.code is None:  # the page of a worker that lives
            on_page = await told_first(trouble, worker.status, by="the page")
            assert on_page["remedy"] == problem["remedy"]
        if trouble.cured is not None:
            await trouble.cured(it, worker)
        if re.search(r"\breplicator (?!run\b)", problem["remedy"]):
            await do_as_printed(it, problem["remedy"])
        elif problem["remedy"].startswith("replicator run"):
            await it.deployment.start_ready()

        [living] = [each for each in it.deployment.workers if each.code is None]
        it.load.write(20)
        await all_is_well(it, living)
        assert await living.stop() == 0


async def test_a_mapping_that_makes_dead_letters_is_fixed_by_all_that_is_printed_in_order(
    new_replica: NewReplica,
):
    trouble = TROUBLES["too many dead letters"]
    async with new_replica(options={"max_dead_letters": LETTERS_MAX}) as it:
        worker = await it.deployment.start_ready()
        it.load.put("before")
        await it.equal(worker)
        await trouble.brings(it, worker)
        problem = await told_first(trouble, lambda: printed(it), by="`status`")
        into = it.settings["into"] = deepcopy(it.settings["into"])
        into["public.orders"]["columns"]["n"] = {"type": "bigint", "on_invalid": "null"}

        for command in commands_of(problem["remedy"]):
            await do(it, command)
            if command == "replicator migrate":  # after which it says: restart the workers
                await restarted(it, worker)

        rows = await it.sql("select n from public.orders where pk <> 'before'")
        assert [row["n"] for row in rows] == [None] * (LETTERS_MAX + 1)
        [worker] = [each for each in it.deployment.workers if each.code is None]
        await written_again(it, worker)
        await all_is_well(it, worker)
        assert await worker.stop() == 0


async def printed(it: Replica) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await it.deployment.asked("status", "--json")).stdout)
    return found


async def told_first(
    trouble: Trouble, told: Callable[[], Awaitable[dict[str, Any]]], *, by: str
) -> dict[str, Any]:
    """The problem that is told first, once it is the one that is meant."""

    seen: list[Any] = []

    async def first() -> dict[str, Any] | None:
        problems = (await told()).get("problems", [])
        seen[:] = problems
        meant = problems and problems[0]["kind"] == trouble.kind
        return problems[0] if meant and trouble.words in problems[0]["what"] else None

    found = await eventually(
        first,
        what=f"{by} names it first: {trouble.kind}",
        after=NAMED_SECONDS,
        show=lambda: str(seen),
    )
    assert found is not None
    return found
