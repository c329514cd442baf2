"""Changes of every kind of load at an even pace, but for the times when nothing is written."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.soak.kinds import Kind
from tests.support.waiting import pace

A_SECOND = 12
"""Changes of each kind."""


class Loads:
    """Writes changes of all kinds in turn."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = kinds
        self._gate = asyncio.Lock()

    @property
    def written(self) -> int:
        """How many changes there were."""
        return sum(kind.written for kind in self._kinds)

    async def until(self, stopping: asyncio.Event) -> None:
        """Write until told to stop."""
        while not stopping.is_set():
            async with self._gate:
                for kind in self._kinds:
                    kind.change()
            await pace(1 / A_SECOND)

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """Nothing is written for as long as the block runs."""
        async with self._gate:
            yield
