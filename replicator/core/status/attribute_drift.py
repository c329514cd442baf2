"""Counts attributes that no column takes, until they are in the control schema. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

Met = tuple[str, str, str]
"""Source, target and attribute of an attribute that no column takes."""
NAMES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Seen:
    """Number of sightings of an attribute, and DynamoDB's letters for the types."""

    met: int
    type: str


@dataclass(frozen=True, slots=True)
class Drifted:
    """An attribute that no column takes; of one type or several."""

    met: int
    types: tuple[str, ...]
    first_seen: datetime


class Drift:
    """Counts by name, up to a bound of names: further names are only in the metric."""

    def __init__(self) -> None:
        self._met: Counter[Met] = Counter()
        self._types: dict[Met, str] = {}

    def add(
        self,
        source: str,
        unmapped: Mapping[str, Mapping[str, int]],
        types: Mapping[str, Mapping[str, str]],
    ) -> None:
        """Count what a batch has met, by target and attribute."""
        for target, attributes in unmapped.items():
            for attribute, count in attributes.items():
                self._add((source, target, attribute), Seen(count, types[target][attribute]))

    def take(self) -> Mapping[Met, Seen]:
        """The sightings since the last call, which are removed here."""
        met, self._met = self._met, Counter()
        return {name: Seen(count, self._types.pop(name)) for name, count in met.items()}

    def put_back(self, met: Mapping[Met, Seen]) -> None:
        """Return sightings that could not be stored."""
        for name, seen in met.items():
            self._add(name, seen)

    def _add(self, name: Met, seen: Seen) -> None:
        if name in self._met or len(self._met) < NAMES_MAX:
            self._met[name] += seen.met
            self._types[name] = seen.type
