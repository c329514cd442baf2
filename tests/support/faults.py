"""What can go wrong between the engine and a server: aimed at the n-th call of a name."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

Result = TypeVar("Result")


@dataclass(slots=True)
class FailBefore:
    """The server never hears of it."""

    error: Exception


@dataclass(slots=True)
class FailAfter:
    """The server does it, and the answer is lost."""

    error: Exception


@dataclass(slots=True)
class Late:
    """The caller gives up; the server does it when `Wire.deliver_late` is called, or never."""

    error: Exception


@dataclass(slots=True)
class Hold:
    """The call waits, before the server hears of it, until `release` is set."""

    release: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class HoldAnswer:
    """The server does it at once; its answer waits until `release` is set."""

    release: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)


Fault = FailBefore | FailAfter | Late | Hold | HoldAnswer


class Send(Protocol):
    """Carries one call to a server: the work runs there, at once and as a whole."""

    async def __call__(self, name: str, work: Callable[[], Result]) -> Result:
        """The answer of the server, or how the call failed."""
        ...


async def at_once(name: str, work: Callable[[], Result]) -> Result:  # noqa: ARG001 (as Send has it)
    """Nothing is between the caller and the server."""
    return work()


@dataclass(slots=True)
class _Aimed:
    name: str
    fault: Fault
    skip: int
    times: int


class Wire:
    """Calls of one worker. Names are the methods of the ports, such as "apply" or "claim"."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._aimed: list[_Aimed] = []
        self._late: list[Callable[[], object]] = []

    def strike(self, name: str, fault: Fault, *, skip: int = 0, times: int = 1) -> None:
        """Spare `skip` calls of that name, then let `times` meet the fault."""
        self._aimed.append(_Aimed(name, fault, skip, times))

    def deliver_late(self) -> list[object]:
        """Do now what was given up; returns answers and exceptions."""
        answers: list[object] = []
        for work in self._late:
            try:
                answers.append(work())
            except Exception as error:  # noqa: BLE001 (nobody waits for it any more)
                answers.append(error)
        self._late.clear()
        return answers

    async def __call__(self, name: str, work: Callable[[], Result]) -> Result:
        self.calls.append(name)
        await asyncio.sleep(0)
        match self._next_for(name):
            case None:
                return work()
            case FailBefore(error):
                raise error
            case FailAfter(error):
                work()
                raise error
            case Late(error):
                self._late.append(work)
                raise error
            case Hold(release, waiting):
                waiting.set()
                await release.wait()
                return work()
            case HoldAnswer(release, waiting):
                answer = work()
                waiting.set()
                await release.wait()
                return answer

    def _next_for(self, name: str) -> Fault | None:
        for aimed in self._aimed:
            if aimed.name != name:
                continue
            if aimed.skip > 0:
                aimed.skip -= 1
                continue
            aimed.times -= 1
            if aimed.times == 0:
                self._aimed.remove(aimed)
            return aimed.fault
        return None
