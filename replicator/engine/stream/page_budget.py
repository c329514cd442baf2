"""Page slots: how many pages of records a process holds in memory, shared fairly among its tables.

A page is held from before it is asked for until its last batch has committed, with its records and
its plan: a few megabytes. A process has one budget of slots. A table may use only so many of them
as keep its connections busy, which bounds what a table that stands can hold.

A free slot goes to the waiting table that holds the fewest, and within a table to the shard that
asked first, so while slots come back every table has its turn, however slow the machine is. Where
none of the budget has come back for a while (the targets of those who hold them are locked, or
slow), a table that holds none and waited all that time gets one beyond the budget, and from then on
each next one at once, for as long as nobody gives back a slot of the budget: tables that stand
delay the others once, and never keep them away.

An idle shard asks without a slot, as it seldom gets anything. A page that it gets while no slot is
free is kept, unplanned, until there is one, as far as the bytes of all such pages stay below a
bound; beyond it the page is left at the source, to be read again.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from replicator.engine.task_groups import one_failure

PATIENCE_SECONDS = 5.0
"""Wait after which a table without a page gets a slot beyond the budget if none of the budget came
back meanwhile, and interval between two signs of life of a shard that waits."""
KEPT_BYTES_OF_A_SLOT = 500_000
"""Bytes of answers that are kept without a slot, for each slot of the budget: as many as a third of
its pages have."""


class PageBudget:
    """The page slots of one process."""

    def __init__(self, pages_max: int) -> None:
        self._free = pages_max
        """Below zero while tables hold slots beyond the budget."""
        self._waiting: list[_Waiter] = []
        self._kept_bytes_left = KEPT_BYTES_OF_A_SLOT * pages_max
        """Bytes left for pages that were read without a slot and wait for one."""
        self._beyond: set[PageSlots] = set()
        """Tables that have waited while the budget stands, and go on with one page beyond it."""
        self.returned = 0
        """Number of times that slots of the budget came back."""

    def room(self, pages_max: int) -> "PageSlots":
        """The slots of one more table, which may hold `pages_max` at once."""
        return PageSlots(self, pages_max)

    def take(self, room: "PageSlots") -> bool:
        """Take a slot for a table at once; False when it must wait for one."""
        if room.is_full or (self._free <= 0 and not self._goes_on_beyond(room)):
            return False
        self._grant(room)
        return True

    def wait(self, room: "PageSlots") -> "asyncio.Future[None]":
        """Queue for a slot; the future is done when the slot is taken."""
        waiter = _Waiter(room, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        return waiter.slot

    def grant_beyond(self, slot: "asyncio.Future[None]") -> None:
        """Take a slot beyond the budget, for a page that others wait for."""
        waiter = self._of(slot)
        self._beyond.add(waiter.room)
        self._serve(waiter)

    def give_back(self, room: "PageSlots", slots: int) -> None:
        """Free slots of a table, and grant what is free now."""
        if slots == 0:
            return  # an answer without records: the budget stands as it did
        room.held -= slots
        self._free += slots
        if self._free > 0 or room not in self._beyond:
            self._beyond.clear()  # the budget moves
            self.returned += 1
        while self._free > 0:
            waiting = [waiter for waiter in self._waiting if not waiter.room.is_full]
            if not waiting:
                return
            self._serve(min(waiting, key=lambda waiter: waiter.room.held))
        own = [waiter for waiter in self._waiting if waiter.room is room]
        if own and self._goes_on_beyond(room):
            self._serve(own[0])

    def give_up(self, room: "PageSlots", slot: "asyncio.Future[None]") -> None:
        """Wait no more for a slot, which may have been granted at this very moment."""
        if slot.done():
            self.give_back(room, 1)
        else:
            self._waiting.remove(self._of(slot))

    def keep(self, size_bytes: int) -> bool:
        """Count an answer that came without a slot; False where there is no memory for it."""
        if size_bytes > self._kept_bytes_left:
            return False
        self._kept_bytes_left -= size_bytes
        return True

    def let_go(self, size_bytes: int) -> None:
        """Note that an answer that was kept has got a slot, or is gone."""
        self._kept_bytes_left += size_bytes

    def _goes_on_beyond(self, room: "PageSlots") -> bool:
        return room in self._beyond and not room.held

    def _of(self, slot: "asyncio.Future[None]") -> "_Waiter":
        return next(waiter for waiter in self._waiting if waiter.slot is slot)

    def _serve(self, waiter: "_Waiter") -> None:
        self._waiting.remove(waiter)
        self._grant(waiter.room)
        waiter.slot.set_result(None)

    def _grant(self, room: "PageSlots") -> None:
        self._free -= 1
        room.held += 1


class PageSlots:
    """The page slots that one table's shards share."""

    def __init__(self, budget: PageBudget, pages_max: int) -> None:
        self._budget = budget
        self._pages_max = pages_max
        self.held = 0
        """Slots that the table has now."""

    @property
    def is_full(self) -> bool:
        """True when the table holds as many pages as it may."""
        return self.held >= self._pages_max

    def take_at_once(self) -> bool:
        """Take the slot of one page; False when there is none now."""
        return self._budget.take(self)

    async def take(self, stopping: asyncio.Event, *, waiting: Callable[[], None]) -> bool:
        """Take the slot of one page; False when asked to stop before there was one.

        `waiting` is called again and again meanwhile.
        """
        if self.take_at_once():
            return True
        slot = self._budget.wait(self)
        taken = False
        try:
            async with one_failure() as tasks:
                asked = tasks.create_task(stopping.wait(), name="wait for stop")
                while not (slot.done() or asked.done()):
                    waiting()
                    returned = self._budget.returned
                    either: set[asyncio.Future[Any]] = {slot, asked}
                    await asyncio.wait(
                        either, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                    stands = self._budget.returned == returned
                    if stands and not (slot.done() or asked.done() or self.held):
                        self._budget.grant_beyond(slot)
                asked.cancel()
            taken = slot.done()
        finally:
            if not taken:
                self._budget.give_up(self, slot)
        return taken

    @contextmanager
    def kept(self, size_bytes: int) -> Iterator[bool]:
        """Keep an answer that came without a slot meanwhile; False where it must not be kept."""
        kept = self._budget.keep(size_bytes)
        try:
            yield kept
        finally:
            if kept:
                self._budget.let_go(size_bytes)

    def give_back(self, slots: int = 1) -> None:
        """Leave the slots to the other tables and shards."""
        self._budget.give_back(self, slots)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """A shard that waits for a slot of its table."""

    room: PageSlots
    slot: asyncio.Future[None]
