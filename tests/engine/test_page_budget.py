"""The pages of a process share a budget, those of a table its part of it."""

import asyncio

from replicator.engine.stream.page_budget import PATIENCE_SECONDS, PageBudget, PageSlots
from tests.support.virtual_time import in_virtual_time


def nobody() -> None:
    pass


def room_of_one() -> PageSlots:
    return PageBudget(10).room(1)


async def take(room: PageSlots) -> bool:
    return await room.take(asyncio.Event(), waiting=nobody)


@in_virtual_time
async def test_who_asked_first_gets_the_place_that_is_given_back():
    room, order = room_of_one(), list[str]()
    stopping = asyncio.Event()

    async def hold(name: str) -> None:
        assert await room.take(stopping, waiting=nobody)
        order.append(name)
        await asyncio.sleep(1)
        room.give_back()

    async with asyncio.TaskGroup() as tasks:
        for name in "abc":
            tasks.create_task(hold(name))
        await asyncio.sleep(0.5)
        assert order == ["a"]
        await asyncio.sleep(1)
        assert order == ["a", "b"]

    assert order == ["a", "b", "c"]


@in_virtual_time
async def test_who_waits_long_is_heard_and_can_be_asked_to_stop():
    room, stopping, heard = room_of_one(), asyncio.Event(), list[float]()
    loop = asyncio.get_running_loop()
    assert await room.take(stopping, waiting=nobody)

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(room.take(stopping, waiting=lambda: heard.append(loop.time())))
        await asyncio.sleep(4 * PATIENCE_SECONDS - 1)
        stopping.set()

    assert waiting.result() is False
    assert heard == [number * PATIENCE_SECONDS for number in range(4)]
    room.give_back()
    assert await room.take(asyncio.Event(), waiting=nobody)


@in_virtual_time
async def test_a_place_that_comes_at_the_moment_its_waiter_is_cancelled_is_anothers():
    room, stopping = room_of_one(), asyncio.Event()
    assert await room.take(stopping, waiting=nobody)
    waiting = [asyncio.ensure_future(room.take(stopping, waiting=nobody)) for _ in range(3)]
    await asyncio.sleep(0.1)

    waiting[1].cancel()
    room.give_back()
    waiting[0].cancel()
    await asyncio.wait(waiting)

    assert [each.cancelled() for each in waiting] == [True, True, False]
    assert waiting[2].result()
    room.give_back()
    assert await room.take(stopping, waiting=nobody)


@in_virtual_time
async def test_a_free_slot_is_of_the_table_that_holds_the_fewest_whoever_asked_first():
    budget = PageBudget(3)
    large, small = budget.room(8), budget.room(8)
    assert [await take(large), await take(large), await take(small)] == [True] * 3
    of_large, of_small = (asyncio.ensure_future(take(room)) for room in (large, small))
    await asyncio.sleep(0.1)

    large.give_back()
    await asyncio.sleep(0.1)
    assert not of_small.done(), "each of them holds one: the first that asked was served"
    assert of_large.done()

    large.give_back()
    await asyncio.sleep(0.1)
    assert of_small.done()


@in_virtual_time
async def test_the_slots_of_all_tables_together_are_bounded_however_long_a_turn_takes():
    """A table waits for longer than its patience while others have their turns."""
    budget = PageBudget(5)
    rooms = [budget.room(2) for _ in range(20)]
    held = most = 0

    async def hold(room: PageSlots) -> None:
        nonlocal held, most
        assert await take(room)
        held += 1
        most = max(most, held)
        await asyncio.sleep(PATIENCE_SECONDS * 0.9)
        held -= 1
        room.give_back()

    async with asyncio.TaskGroup() as tasks:
        for room in rooms * 4:
            tasks.create_task(hold(room))

    assert most == 5
    assert [room.held for room in rooms] == [0] * 20


@in_virtual_time
async def test_tables_that_stand_with_all_slots_delay_another_once():
    budget = PageBudget(4)
    standing, other = [budget.room(2), budget.room(2)], budget.room(2)
    for room in standing * 2:
        assert await take(room)
    loop = asyncio.get_running_loop()
    began = loop.time()

    assert await take(other)

    assert loop.time() - began == PATIENCE_SECONDS
    second = asyncio.ensure_future(take(other))
    await asyncio.sleep(100)
    assert not second.done(), "a table has one page beyond the budget, not more"
    began = loop.time()
    other.give_back()
    await second
    for _ in range(100):
        other.give_back()
        assert other.take_at_once()
    assert loop.time() == began, "it has waited once, and waits no more while the others stand"
    standing[0].give_back(2)
    standing[1].give_back(2)
    other.give_back()
    assert [await take(other), await take(other)] == [True, True]


@in_virtual_time
async def test_a_shard_that_gives_back_nothing_does_not_let_a_table_wait_on():
    """Idle shards look all the time, and hold no page."""
    budget = PageBudget(1)
    standing, other, idle = (budget.room(1) for _ in range(3))
    assert await take(standing)
    loop = asyncio.get_running_loop()
    began = loop.time()
    waiting = asyncio.ensure_future(take(other))
    while not waiting.done() and loop.time() - began < 2 * PATIENCE_SECONDS:
        await asyncio.sleep(1)
        idle.give_back(0)

    assert waiting.done(), "a look without records kept it waiting"
    idle.give_back(0)
    other.give_back()
    assert other.take_at_once(), "it still goes on beyond the budget"


@in_virtual_time
async def test_a_budget_that_moves_again_is_kept_again():
    """Of several tables beyond the budget none goes on so once a slot of the budget came back."""
    budget = PageBudget(2)
    standing, others = budget.room(2), [budget.room(1) for _ in range(5)]
    assert [await take(standing), await take(standing)] == [True, True]
    assert await asyncio.gather(*(take(room) for room in others)) == [True] * 5

    standing.give_back(1)
    for room in others:
        room.give_back()

    assert [room.take_at_once() for room in others] == [True, False, False, False, False]


@in_virtual_time
async def test_who_stops_waiting_beyond_the_budget_leaves_nothing_taken():
    budget = PageBudget(1)
    first, other, stopping = budget.room(1), budget.room(1), asyncio.Event()
    assert await take(first)
    waiting = asyncio.ensure_future(other.take(stopping, waiting=nobody))
    await asyncio.sleep(0.1)
    stopping.set()

    assert not await waiting
    first.give_back()
    assert await take(first)
    assert other.held == 0
