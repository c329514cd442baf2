"""Writes of a known history to a scripted table: every change has a number of its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from random import Random

from tests.support.scripted_streams import Table
from tests.support.stream_builders import item
from tests.support.waiting import eventually, pace


class Load:
    """Puts, changes and deletes items of a scripted table; numbers grow over all its keys."""

    def __init__(self, table: Table, *, keys: int = 200, seed: int = 0, payload: str = "") -> None:
        self._table = table
        self._names = [f"key-{number:06d}" for number in range(keys)]
        self._chance = Random(seed)
        self._numbers = count(1)
        self._payload = payload
        self.written = 0

    def put(self, key: str, *, shard: int | None = None, **details: object) -> int:
        """Write one item; the number of the change."""
        number = next(self._numbers)
        if shard is not None:
            details["shard"] = shard
        self._table.put(
            item(key, n=number, payload=f"{key} {number}{self._payload}"),
            **details,
        )
        self.written += 1
        return number

    def write(self, changes: int) -> None:
        """Random changes, one in ten a delete of an item that may be there."""
        for _ in range(changes):
            key = self._chance.choice(self._names)
            if self._chance.random() < 0.1:
                if self._table.delete(item(key)) is not None:
                    self.written += 1
            else:
                self.put(key)

    def write_everywhere(self, keys: Sequence[str] | None = None) -> None:
        """Every key once."""
        for key in keys or self._names:
            self.put(key)

    async def until(self, stopping: asyncio.Event, *, a_second: int = 200) -> None:
        """Write at this pace."""
        pause = 0.05
        while not stopping.is_set():
            self.write(max(1, int(a_second * pause)))
            await pace(pause)

    async def grows(self, changes: float) -> None:
        """Wait until so much more is written: a moment that the load tells, not a clock."""
        goal = self.written + changes

        async def enough() -> bool:
            return self.written >= goal

        await eventually(enough, what=f"{changes:.0f} more changes are written")

    @asynccontextmanager
    async def going_on(self, *, a_second: int = 200) -> AsyncIterator[None]:
        """Writes go on for as long as the block runs."""
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.until(stopping, a_second=a_second))
            try:
                yield
            finally:
                stopping.set()
