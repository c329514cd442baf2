"""Attributes that nothing takes, counted until somebody writes them down. Pure."""

from collections import Counter
from collections.abc import Mapping

Met = tuple[str, str, str]
"""Source, target, attribute."""
NAMES_MAX = 1000


class Drift:
    """Counts by name, up to a bound of names: what is beyond it is only in the metric."""

    def __init__(self) -> None:
        self._met: Counter[Met] = Counter()

    def add(self, source: str, unmapped: Mapping[str, Mapping[str, int]]) -> None:
        """Count what a batch has met, by target and attribute."""
        for target, attributes in unmapped.items():
            for attribute, count in attributes.items():
                self._add((source, target, attribute), count)

    def take(self) -> Mapping[Met, int]:
        """What was counted since, which is forgotten here."""
        met, self._met = self._met, Counter()
        return met

    def put_back(self, met: Mapping[Met, int]) -> None:
        """It could not be written down."""
        for name, count in met.items():
            self._add(name, count)

    def _add(self, name: Met, count: int) -> None:
        if name in self._met or len(self._met) < NAMES_MAX:
            self._met[name] += count
