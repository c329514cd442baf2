"""Task groups whose failure is the first one itself, and work done in such groups."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from replicator.errors import ReplicatorError

T = TypeVar("T")


async def for_each(
    things: Collection[T],
    act: Callable[[T], Awaitable[object]],
    *,
    at_once: int,
    failures_max: int = 0,
) -> None:
    """Act on each thing, on so many at a time; one failure more than `failures_max` ends it all.

    The first failure is raised, at the end where it was not one too many.
    """
    left = iter(things)
    failures = list[ReplicatorError]()

    async def work() -> None:
        for thing in left:
            try:
                await act(thing)
            except ReplicatorError as error:
                failures.append(error)
                if len(failures) > failures_max:
                    raise

    async with one_failure() as tasks:
        for number in range(min(at_once, len(things))):
            tasks.create_task(work(), name=f"act {number}")
    if failures:
        raise failures[0]


async def unless_stopped(stopping: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None when we are asked to stop before it ends, which cancels it."""
    async with one_failure() as tasks:
        working = tasks.create_task(work, name="work")
        waiting = tasks.create_task(stopping.wait(), name="wait for stop")
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        working.cancel()
    return None if working.cancelled() else working.result()


@asynccontextmanager
async def one_failure() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that raises the first failure itself, not a group of one."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        raise first_failure(group) from None


def first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first leaf of an exception group."""
    failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
