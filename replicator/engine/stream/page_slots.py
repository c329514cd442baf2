"""Room for pages in memory, shared by a table's shards: many need no more than a few at a time."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from replicator.engine.tasks import one_failure

TOLD_SECONDS = 30.0
"""Seconds between two signs of life of a shard that waits for a page slot."""


class Room:
    """Holds so many pages at once, and serves who asked first.

    It is one table's, since pages that wait for a table's lock must not keep another's away.
    """

    def __init__(self, pages_max: int) -> None:
        self._free = pages_max
        self._waiting = deque[asyncio.Future[None]]()

    async def take(self, stopping: asyncio.Event, *, waiting: Callable[[], None]) -> bool:
        """Take the place of one page; False when asked to stop before there was one.

        `waiting` is called again and again meanwhile.
        """
        if self._free:
            self._free -= 1
            return True
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        taken = False
        try:
            async with one_failure() as tasks:
                asked = tasks.create_task(stopping.wait(), name="wait for stop")
                while not (place.done() or asked.done()):
                    waiting()
                    either: set[asyncio.Future[Any]] = {place, asked}
                    await asyncio.wait(
                        either, timeout=TOLD_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                asked.cancel()
            taken = place.done()
        finally:
            if not taken:
                self._forget(place)
        return taken

    def give_back(self, places: int = 1) -> None:
        """Make room for others."""
        self._free += places
        while self._free and self._waiting:
            self._free -= 1
            self._waiting.popleft().set_result(None)

    def _forget(self, place: asyncio.Future[None]) -> None:
        """Give a slot up that is no longer waited for, and that may have been granted at this
        very moment.
        """
        if place.done():
            self.give_back()
        else:
            self._waiting.remove(place)
