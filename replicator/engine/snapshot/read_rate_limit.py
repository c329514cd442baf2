"""Reads items no faster than a budget allows, and slower while the source throttles."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from replicator.clock import Clock
from replicator.core.snapshot.read_budget import ReadBudget
from replicator.core.snapshot.scan_responses import FoundItems, ScanPage, Segment
from replicator.core.stream_record import Image
from replicator.engine.backoff import stopped_within, with_retries
from replicator.engine.ports import Items
from replicator.errors import SourceThrottled

MeteredAnswer = TypeVar("MeteredAnswer", ScanPage, FoundItems)
UNITS_PER_ITEM_AT_FIRST = 1.0
WEIGHT_OF_NEWEST = 0.2
"""Weight of the newest request in the moving average of what an item costs."""
UNITS_OF_REQUEST_MIN = 1.0
"""A request costs a whole unit, however small the items are."""
ATTEMPTS_MAX = 12
"""Attempts of one request; then the failure is the caller's to deal with."""


class ReadPacing:
    """One budget of read units for all readers of items in a process.

    First come, first served, for any table.
    """

    def __init__(self, units_per_second: float, clock: Clock) -> None:
        self._clock = clock
        self._units_per_second = units_per_second
        self._budget = ReadBudget.of(units_per_second, now=clock.monotonic())
        self._turn = asyncio.Lock()
        self._settled = asyncio.Event()
        self._units_per_item = UNITS_PER_ITEM_AT_FIRST
        self.read_units = 0.0
        """Read units used so far."""

    def share(self, readers: int) -> None:
        """Divide what was configured among so many processes that read at once."""
        self._budget = self._now().limited(self._units_per_second / max(1, readers))

    def reader(self, items: Items) -> "PacedItems":
        """A reader of the items within the budget."""
        return PacedItems(items, self)

    async def begin(self, items_max: int | None = None) -> tuple[int, float]:
        """Wait for the turn; how many items to ask for, and the units that were reserved."""
        async with self._turn:
            while (seconds := self._now().wait_seconds) > 0:
                self._settled.clear()  # an answer that cost less may end the wait
                await stopped_within(self._settled, seconds)
            wanted = items_max or self._budget.items_max(self._units_per_item)
            aside = wanted * self._units_per_item
            self._budget = self._budget.spent(aside)
            return wanted, aside

    def settle(self, aside: float, *, units: float, items: int) -> None:
        """A request was answered."""
        self._budget = self._now().spent(units - aside)
        self._settled.set()
        self.read_units += units
        if items:
            newest = units / items
            if units <= UNITS_OF_REQUEST_MIN:  # its items cost no more than this, perhaps less
                self._units_per_item = min(newest, self._units_per_item) / 2
            else:
                self._units_per_item += WEIGHT_OF_NEWEST * (newest - self._units_per_item)

    def failed(self, aside: float, *, throttled: bool) -> None:
        """A request read nothing."""
        budget = self._now().spent(-aside)
        self._budget = budget.throttled() if throttled else budget
        self._settled.set()

    def _now(self) -> ReadBudget:
        self._budget = self._budget.at_time(self._clock.monotonic())
        return self._budget


class PacedItems:
    """Items within a budget. Requests that fail are made again, a while later."""

    def __init__(self, items: Items, pacing: ReadPacing) -> None:
        self._items = items
        self._pacing = pacing

    async def scan(
        self, segment: Segment, *, after: str | None, items_max: int | None = None
    ) -> ScanPage:
        """The next page of a segment, of a size that the budget bears."""

        async def ask(wanted: int) -> ScanPage:
            return await self._items.scan(segment, after=after, items_max=wanted)

        return await self._paced(ask, items_max)

    async def get(self, keys: Sequence[Image]) -> list[memoryview]:
        """The items that exist of the given keys, with keys that the source puts off asked for
        again.
        """
        images: list[memoryview] = []
        left = list(keys)
        while left:

            async def ask(_: int, wanted: Sequence[Image] = tuple(left)) -> FoundItems:
                return await self._items.get(wanted)

            found = await self._paced(ask, len(left))
            images += found.images
            if len(found.unprocessed) == len(left):  # nothing was read: that is throttling
                self._pacing.failed(0.0, throttled=True)
            left = found.unprocessed
        return images

    async def _paced(
        self, ask: Callable[[int], Awaitable[MeteredAnswer]], items_max: int | None
    ) -> MeteredAnswer:
        async def once() -> MeteredAnswer:
            wanted, aside = await self._pacing.begin(items_max)
            try:
                answer = await ask(wanted)
            except BaseException as error:
                self._pacing.failed(aside, throttled=isinstance(error, SourceThrottled))
                raise
            self._pacing.settle(aside, units=answer.read_units, items=len(answer.images))
            return answer

        return await with_retries(once, attempts_max=ATTEMPTS_MAX)
