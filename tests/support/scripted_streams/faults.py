"""Planned faults: which call meets which, decided by count or by seeded chance. Pure."""

from dataclasses import dataclass, field
from random import Random
from typing import Literal


@dataclass(frozen=True, slots=True)
class Refuse:
    """An error answer instead of the work; ServiceUnavailable is HTML with status 503."""

    error: str


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection breaks: before the work is done, before the answer, or in the middle of it."""

    where: Literal["request", "answer", "body"]


@dataclass(frozen=True, slots=True)
class SlowBody:
    """The body comes in pieces, with this pause before each."""

    seconds: float
    pieces: int


@dataclass(frozen=True, slots=True)
class Delay:
    """The work begins later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class WrongChecksum:
    """x-amz-crc32 does not fit the body."""


@dataclass(frozen=True, slots=True)
class EmptyPage:
    """GetRecords gives no records and an iterator at the same place."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The work waits until it is released."""


Fault = Refuse | Cut | SlowBody | Delay | WrongChecksum | EmptyPage | Hold


@dataclass(frozen=True, slots=True)
class Call:
    """What a fault can be aimed at; `continued` is a further page of a listing or a scan."""

    operation: str
    table: str | None = None
    shard: int | None = None
    continued: bool = False
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Aim:
    """Which calls a plan is for; None and "*" fit all."""

    operation: str
    table: str | None = None
    shard: int | None = None
    continued: bool | None = None
    containing: str | None = None
    """A part of the request's body."""

    def fits(self, call: Call) -> bool:
        return (
            self.operation in ("*", call.operation)
            and self.table in (None, call.table)
            and self.shard in (None, call.shard)
            and self.continued in (None, call.continued)
            and (self.containing is None or self.containing.encode() in call.body)
        )


@dataclass(slots=True)
class _Plan:
    aim: Aim
    fault: Fault
    skip: int
    times: int | None
    probability: float
    chance: Random = field(repr=False)


class Faults:
    """Plans in the order they were made; the first that strikes is what a call meets."""

    def __init__(self) -> None:
        self._plans: list[_Plan] = []

    def add(
        self,
        aim: Aim,
        fault: Fault,
        *,
        times: int | None,
        skip: int = 0,
        probability: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Strike `times` fitting calls (None: all) after sparing `skip`, each by chance."""
        if times is not None and times < 1:
            raise ValueError("a fault strikes at least once")
        self._plans.append(_Plan(aim, fault, skip, times, probability, Random(seed)))

    def next_for(self, call: Call) -> Fault | None:
        for plan in self._plans:
            if not plan.aim.fits(call):
                continue
            if plan.skip > 0:
                plan.skip -= 1
                continue
            if plan.probability < 1 and plan.chance.random() >= plan.probability:
                continue
            self._use(plan)
            return plan.fault
        return None

    def clear(self, operation: str | None = None) -> None:
        """Forget the plans for an operation, or all."""
        self._plans = [plan for plan in self._plans if operation not in (None, plan.aim.operation)]

    def pending(self) -> int:
        return len(self._plans)

    def _use(self, plan: _Plan) -> None:
        if plan.times is not None:
            plan.times -= 1
            if plan.times == 0:
                self._plans.remove(plan)
