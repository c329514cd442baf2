"""An event loop whose time moves only when it is told to, or when nothing else is left to do."""

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

OWN_SOCKETS = 1
"""A loop wakes itself through one; who does so from another thread waits for its next timer."""
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Stalled(AssertionError):
    """Nothing will ever happen again: no callback is ready and no timer is set."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Timers fire in order and at once; no test ever waits for one."""

    def __init__(self) -> None:
        self._moment = 0.0
        self._until: float | None = None
        super().__init__(_NeverWaits(self._jump))

    def time(self) -> float:
        return self._moment

    def advance(self, seconds: float) -> None:
        """Let that much time pass: all that is ready or falls due runs. 0: all that is ready."""
        self._until = self._moment + seconds
        try:
            self.run_forever()
        finally:
            self._until = None

    def suspend(self, seconds: float) -> None:
        """Nobody runs for so long; what fell due meanwhile runs late, once, as after a SIGSTOP."""
        self._moment += seconds
        self.advance(0)

    def next_timer_in(self) -> float | None:
        """Seconds until the next timer, None when there is none."""
        timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        return max(0.0, min(timers) - self._moment) if timers else None

    def _jump(self, timeout: float | None) -> None:
        """The loop has nothing ready and would sleep."""
        if self._until is None:
            if timeout is None:
                raise Stalled("every task waits for what nobody will do")
            self._moment += timeout
        elif timeout is None or self._moment + timeout > self._until:
            self._moment = self._until
            self.stop()
        else:
            self._moment += timeout


class _NeverWaits(selectors.DefaultSelector):
    def __init__(self, jump: Callable[[float | None], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout > 0:
            self._jump(timeout)
        if len(self.get_map()) == OWN_SOCKETS:
            return []  # nobody speaks to anybody: the system is not asked
        return list(super().select(0))


class VirtualClock:
    """Wall and monotonic time of a virtual loop; `skew` moves the wall clock alone."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.skew = timedelta()

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.time()) + self.skew

    def monotonic(self) -> float:
        return self._loop.time()

    def timestamp(self) -> float:
        """Epoch seconds."""
        return self.now().timestamp()


def running_clock() -> VirtualClock:
    """The clock of the loop that runs now."""
    return VirtualClock(asyncio.get_running_loop())


@contextmanager
def virtual_loop() -> Iterator[VirtualLoop]:
    """A loop to drive by hand; what is left in it is cancelled."""
    loop = VirtualLoop()
    try:
        yield loop
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.advance(0)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def in_virtual_time(
    test: Callable[Arguments, Coroutine[Any, Any, Result]],
) -> Callable[Arguments, Result]:
    """Make a coroutine function one that runs to its end in virtual time."""

    @functools.wraps(test)
    def run(*positional: Arguments.args, **named: Arguments.kwargs) -> Result:
        with virtual_loop() as loop:
            return loop.run_until_complete(test(*positional, **named))

    return run


async def until(condition: Callable[[], bool | Awaitable[bool]], *, seconds: float = 600.0) -> None:
    """Wait in virtual time; AssertionError when that much passed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        met = condition()
        if (await met) if isinstance(met, Awaitable) else met:
            return
        assert loop.time() < deadline, f"not within {seconds:g} s"
        await asyncio.sleep(0.05)
