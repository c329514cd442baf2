"""Budget of read units: a token bucket that slows down when the source throttles. Pure."""

from dataclasses import dataclass, replace
from typing import Self

ITEMS_MAX = 1000
"""Items of one page: their rows are one transaction, and one look at the target."""
PAGE_SECONDS_MAX = 0.5
"""Seconds of the rate that one page may use at once."""
RATE_MIN = 1.0
RECOVERY_SECONDS = 60.0
"""Seconds in which the rate grows from nothing to the full one, when nothing is throttled any
more."""
CUT_SECONDS_MIN = 1.0
"""Seconds in which several throttled requests are one cut: they were under way together."""


@dataclass(frozen=True, slots=True)
class ReadBudget:
    """Read units available as of `at` (monotonic seconds).

    A request takes the probable cost beforehand, and settles when the cost is known;
    the balance may go below zero, and then nothing is read until time has paid.
    """

    units_per_second_max: float
    units_per_second: float
    balance_units: float
    at: float
    cut_at: float | None = None

    @classmethod
    def of(cls, units_per_second: float, *, now: float) -> Self:
        """A budget at the full rate, with nothing saved up."""
        return cls(units_per_second, units_per_second, 0.0, now)

    def at_time(self, now: float) -> "ReadBudget":
        """The budget at a later moment; a second's worth can be saved up at most."""
        elapsed = max(0.0, now - self.at)
        rate = min(
            self.units_per_second_max,
            self.units_per_second + self.units_per_second_max * elapsed / RECOVERY_SECONDS,
        )
        balance = min(rate, self.balance_units + rate * elapsed)
        return replace(self, units_per_second=rate, balance_units=balance, at=now)

    @property
    def wait_seconds(self) -> float:
        """Seconds until the next request may be made."""
        return max(0.0, -self.balance_units / self.units_per_second)

    def spent(self, units: float) -> "ReadBudget":
        """The budget after units were used; a negative number gives some back."""
        return replace(self, balance_units=self.balance_units - units)

    def limited(self, units_per_second_max: float) -> "ReadBudget":
        """The budget under another limit; what throttling made slower stays slower."""
        if units_per_second_max == self.units_per_second_max:
            return self
        rate = self.units_per_second * units_per_second_max / self.units_per_second_max
        return replace(self, units_per_second_max=units_per_second_max, units_per_second=rate)

    def throttled(self) -> "ReadBudget":
        """The budget after the source asked for less: half the rate, and nothing saved up."""
        balance = min(0.0, self.balance_units)
        if self.cut_at is not None and self.at - self.cut_at < CUT_SECONDS_MIN:
            return replace(self, balance_units=balance)
        floor = min(RATE_MIN, self.units_per_second_max)
        rate = max(floor, self.units_per_second / 2)
        return replace(self, units_per_second=rate, balance_units=balance, cut_at=self.at)

    def items_max(self, units_per_item: float) -> int:
        """Number of items that a page should ask for, so that the page costs no more than the
        share."""
        affordable = self.units_per_second * PAGE_SECONDS_MAX / units_per_item
        return max(1, min(ITEMS_MAX, int(affordable)))
