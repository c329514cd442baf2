"""An even sample of stale rows, whose number is unknown, to be checked before a sweep. Pure."""

from collections.abc import Iterable
from typing import Generic, TypeVar

Member = TypeVar("Member")


class Sample(Generic[Member]):
    """Every n-th member of the added ones, between half of `size` and `size` in number."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._every = 1
        self._added = 0
        self.members: list[Member] = []

    def add(self, members: Iterable[Member]) -> None:
        """Add members."""
        for member in members:
            if self._added % self._every == 0:
                self.members.append(member)
                if len(self.members) > self._size:
                    self.members = self.members[::2]
                    self._every *= 2
            self._added += 1
