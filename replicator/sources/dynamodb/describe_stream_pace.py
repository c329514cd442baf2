"""Spaces the calls of DescribeStream, which AWS limits to ten in a second for an account.

Theory of operation
-------------------
The problem: all workers of a deployment list streams and look for children of shards, and together
they must stay within the account's limit, which other readers of streams share. A rate for each
worker is wrong for any number of workers but one; a share of the rate for each leaves a large
stream, which one worker lists, a hundredth of what is free.

The idea: a call takes a turn in one row of the control schema, `take_turn`, which knows when the
last calls of all workers were allowed. The first listing of a stream may use all ten calls of a
second, since nothing of the table is read before; everything else stays within five. A listing of
what is on record already gives way: it takes its turn only when one is free, and asks again later,
whereas the others reserve the next one. Of the listings of a process that give way one asks at a
time, who came first: who asks by chance may wait for minutes beside hundreds of others.

What a worker knows of its own calls is more than their turns: when they were answered. A call
counts from when it is sent until a second after its answer, so that even where a process runs late
and sends what it owes together, the source gets no more in any second than is allowed. Without
`take_turn` (commands that run beside the workers) that is all there is.

What a worker knows of the calls of others are their turns, and a call may be a while on its way
from its turn to the source: so these count for longer than a second. A turn comes as soon as fewer
than are allowed count, its own by the worker's own knowledge and those of others by their turns.
One count for all would be one that lets eleven calls of two workers into a second, or makes a lone
worker slower than it must be.

Refusals lengthen a worker's second: others of the account call, too. Answers shorten it again.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from replicator.core.stream.describe_stream_quota import Purpose, TakeTurn

SECOND = 1.002
"""A second, and what two clocks may differ in it."""
UNANSWERED_SECONDS = 2.0
"""A call that is not answered counts for so long: one place that is away holds up no other."""
AGAIN_SECONDS, AGAIN_SECONDS_MAX = 0.25, 1.0
"""Pause of a process whose listing gave way, at first and at most."""
REFUSED_SECONDS = 0.2
"""Half of the pause of all calls of the process after a refusal; it doubles with each that follows
a pause."""
SLOWER_MAX = 32.0
FASTER = 0.9


@dataclass(slots=True)
class _Call:
    """A call under way or answered: it counts until then."""

    until: float


@dataclass(slots=True)
class _Line:
    """Calls that wait in this process: one at a time is at the front."""

    occupied: bool = False
    waiting: list[tuple[int, int, "asyncio.Future[None]"]] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=count)

    @asynccontextmanager
    async def front(self, rank: int) -> AsyncIterator[None]:
        """Wait until nobody of a lower rank, nor who asked earlier, is before."""
        if self.occupied:
            turn = asyncio.get_running_loop().create_future()
            heappush(self.waiting, (rank, next(self.numbers), turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._next()
                raise
        self.occupied = True
        try:
            yield
        finally:
            self._next()

    def _next(self) -> None:
        while self.waiting:
            *_, turn = heappop(self.waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self.occupied = False


class DescribeStreamPace:
    """One for all tables of a process, as the limit is one for all tables of an account."""

    def __init__(self, take_turn: TakeTurn | None = None) -> None:
        self._take_turn = take_turn
        self._line = _Line()
        self._giving_way = _Line()
        self._calls: list[_Call] = []
        self._answered = asyncio.Event()
        self._slower = 1.0
        self._calm_until = 0.0

    @asynccontextmanager
    async def turn(self, purpose: Purpose) -> AsyncIterator[None]:
        """Wait for the turn of one call, which is made and answered within the context."""
        call = await self._begun(purpose)
        try:
            yield
        finally:
            call.until = asyncio.get_running_loop().time() + self._slower * SECOND
            self._answered.set()

    async def _begun(self, purpose: Purpose) -> _Call:
        """Wait until the call may be sent; it counts from then on."""
        async with AsyncExitStack() as stack:
            if purpose.gives_way:
                await stack.enter_async_context(self._giving_way.front(purpose.rank))
            attempt = 0
            while (call := await self._with_turn(purpose)) is None:
                chance = random.uniform(0.5, 1.0)  # noqa: S311 (spreads load, protects nothing)
                await asyncio.sleep(chance * min(AGAIN_SECONDS_MAX, AGAIN_SECONDS * 2**attempt))
                attempt += 1
            return call

    async def _with_turn(self, purpose: Purpose) -> _Call | None:
        """Wait for the turn of the call; None where the call gives way."""
        async with self._line.front(purpose.rank):
            await self._room(purpose.calls_max)
            seconds: float | None = 0.0
            if self._take_turn is not None:
                now = asyncio.get_running_loop().time()
                own = [call.until - now for call in self._calls]
                seconds = await self._take_turn(purpose, own)
            if seconds is None:
                return None
            if seconds > 0:
                await asyncio.sleep(seconds)
            now = asyncio.get_running_loop().time()
            call = _Call(now + self._slower * UNANSWERED_SECONDS)
            self._calls.append(call)
            return call

    async def _room(self, calls_max: int) -> None:
        """Wait until fewer calls of this process than that count."""
        loop = asyncio.get_running_loop()
        while (seconds := self._calm_until - loop.time()) > 0:  # noqa: ASYNC110 (a refusal moves it)
            await asyncio.sleep(seconds)
        while True:
            now = loop.time()
            self._calls = [call for call in self._calls if call.until > now]
            surplus = len(self._calls) - calls_max
            if surplus < 0:
                return
            until = sorted(call.until for call in self._calls)[surplus]
            self._answered.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._answered.wait()  # an answer may come long before that

    def refused(self) -> None:
        """AWS refused the call for the rate; of calls that were under way together all may be."""
        now = asyncio.get_running_loop().time()
        if now >= self._calm_until:
            self._slower = min(SLOWER_MAX, 2 * self._slower)
            self._calm_until = now + self._slower * REFUSED_SECONDS

    def answered(self) -> None:
        """Note an answer of AWS, which shortens the pauses."""
        self._slower = max(1.0, FASTER * self._slower)
