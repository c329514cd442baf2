"""Measurements side by side: contenders take turns, medians and ratios are what counts. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: how many records in how much time, and the CPU that each side used."""

    records: int
    seconds: float
    client_seconds: float | None = None
    postgres_seconds: float | None = None
    peak_megabytes: float | None = None

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds

    @property
    def client_microseconds(self) -> float | None:
        return self._each(self.client_seconds)

    @property
    def postgres_microseconds(self) -> float | None:
        return self._each(self.postgres_seconds)

    @property
    def microseconds(self) -> float | None:
        """CPU of both sides for each record."""
        if self.client_seconds is None or self.postgres_seconds is None:
            return None
        return self._each(self.client_seconds + self.postgres_seconds)

    def _each(self, seconds: float | None) -> float | None:
        return None if seconds is None else seconds / self.records * 1e6


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and extremes."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float | None]) -> Spread | None:
    """None where a value is missing."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return Spread(median(known), min(known), max(known))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours to theirs: the ratio of the medians, and the extremes round by round."""
    rounds = [one / other for one, other in zip(ours, theirs, strict=True)]
    return Spread(median(ours) / median(theirs), min(rounds), max(rounds))
