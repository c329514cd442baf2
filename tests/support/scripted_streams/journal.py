"""Every call received, in order, with what became of it."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

ENTRIES_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One call; `outcome` is "ok", the name of an error, or of a fault that left no error answer.

    `at` is epoch seconds of the scripted clock, `detail` the type of an iterator asked for.
    """

    number: int
    at: float
    operation: str
    table: str | None
    shard: int | None
    outcome: str
    records: int = 0
    detail: str | None = None
    forwarded: bool = False


class Journal:
    """The newest ENTRIES_MAX calls; counts go on beyond."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_MAX)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._numbers = count(1)

    def add(
        self,
        *,
        at: float,
        operation: str,
        table: str | None,
        shard: int | None,
        outcome: str,
        records: int = 0,
        detail: str | None = None,
        forwarded: bool = False,
    ) -> None:
        number = next(self._numbers)
        self._entries.append(
            Entry(number, at, operation, table, shard, outcome, records, detail, forwarded)
        )
        self._counts[operation, outcome] += 1

    def entries(
        self,
        operation: str | None = None,
        *,
        table: str | None = None,
        shard: int | None = None,
        since: int = 0,
    ) -> Iterator[Entry]:
        """Those that fit, after the number `since`; None fits all."""
        for entry in self._entries:
            if (
                entry.number > since
                and operation in (None, entry.operation)
                and table in (None, entry.table)
                and shard in (None, entry.shard)
            ):
                yield entry

    def count(self, operation: str | None = None, *, outcome: str | None = None) -> int:
        return sum(
            number
            for (its_operation, its_outcome), number in self._counts.items()
            if operation in (None, its_operation) and outcome in (None, its_outcome)
        )

    def clear(self) -> None:
        self._entries.clear()
        self._counts.clear()
