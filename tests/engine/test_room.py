"""The pages of a table's shards share a bounded room."""

import asyncio

from replicator.engine.stream.page_slots import Room
from tests.support.virtual_time import in_virtual_time


def nobody() -> None:
    pass


@in_virtual_time
async def test_who_asked_first_gets_the_place_that_is_given_back():
    room, order = Room(1), list[str]()
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
    room, stopping, heard = Room(1), asyncio.Event(), list[float]()
    loop = asyncio.get_running_loop()
    assert await room.take(stopping, waiting=nobody)

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(room.take(stopping, waiting=lambda: heard.append(loop.time())))
        await asyncio.sleep(100)
        stopping.set()

    assert waiting.result() is False
    assert len(heard) == 4
    room.give_back()
    assert await room.take(asyncio.Event(), waiting=nobody)


@in_virtual_time
async def test_a_place_that_comes_at_the_moment_its_waiter_is_cancelled_is_anothers():
    room, stopping = Room(1), asyncio.Event()
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
