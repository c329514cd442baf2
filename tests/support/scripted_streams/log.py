"""The records of one shard: appended, preloaded as ready pages, read by position, trimmed."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import msgspec

PAGE_RECORDS_MAX = 1000
PAGE_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """A JSON array of records, and the position behind its last one."""

    body: bytes
    count: int
    end: int


@dataclass(frozen=True, slots=True)
class _Ready:
    """A preloaded page; its records have the positions start ... start + count - 1."""

    start: int
    count: int
    body: bytes

    def records(self) -> list[bytes]:
        return [bytes(record) for record in msgspec.json.decode(self.body, type=list[msgspec.Raw])]


class _Numbered(msgspec.Struct, gc=False):
    SequenceNumber: str


class _Record(msgspec.Struct, gc=False):
    dynamodb: _Numbered


_RAW_RECORDS = msgspec.json.Decoder(list[msgspec.Raw])
_RECORDS = msgspec.json.Decoder(list[_Record])


class Log:
    """Positions count the records ever appended; those before `first` are trimmed."""

    def __init__(self) -> None:
        self.first = 0
        self.numbers: list[int] = []
        self._written_at: list[float] = []
        self._bodies: dict[int, bytes] = {}
        self._ready: list[_Ready] = []

    @property
    def end(self) -> int:
        return len(self.numbers)

    @property
    def last_number(self) -> int | None:
        return self.numbers[-1] if self.numbers else None

    def append(self, number: int, body: bytes, *, written_at: float) -> None:
        """Raise ValueError for a number that does not grow."""
        self._grow([number])
        self._bodies[self.end - 1] = body
        self._written_at.append(written_at)

    def append_page(self, body: bytes, *, written_at: float) -> None:
        """Add a JSON array of records that is served as it is, however large."""
        numbers = [int(record.dynamodb.SequenceNumber) for record in _RECORDS.decode(body)]
        start = self.end
        self._grow(numbers)
        self._written_at += [written_at] * len(numbers)
        self._ready.append(_Ready(start, len(numbers), body))

    def append_all(self, bodies: bytes, *, written_at: float) -> None:
        """Add the records of a JSON array, served like those of `append`."""
        numbers = [int(record.dynamodb.SequenceNumber) for record in _RECORDS.decode(bodies)]
        for number, body in zip(numbers, _RAW_RECORDS.decode(bodies), strict=True):
            self.append(number, bytes(body), written_at=written_at)

    def position_at(self, number: int) -> int:
        return bisect_left(self.numbers, number)

    def position_after(self, number: int) -> int:
        return bisect_right(self.numbers, number)

    def page(self, position: int, *, limit: int) -> Page:
        """At most `limit` records or PAGE_BYTES_MAX, and at least one when there is one."""
        ready = self._ready_at(position)
        if ready is not None and ready.start == position and ready.count <= limit:
            return Page(ready.body, ready.count, position + ready.count)
        bodies = self._bodies_from(position, ready, limit)
        return Page(b"[" + b",".join(bodies) + b"]", len(bodies), position + len(bodies))

    def records(self) -> list[bytes]:
        """Every surviving record."""
        found: list[bytes] = []
        position = self.first
        while position < self.end:
            bodies = self._bodies_from(position, self._ready_at(position), PAGE_RECORDS_MAX)
            found += bodies
            position += len(bodies)
        return found

    def trim_before(self, moment: float) -> None:
        """Forget what was written before the moment (epoch seconds)."""
        self.trim_to(bisect_left(self._written_at, moment))

    def trim_to(self, position: int) -> None:
        for trimmed in range(self.first, position):
            self._bodies.pop(trimmed, None)
        self.first = max(self.first, position)
        self._ready = [page for page in self._ready if page.start + page.count > self.first]

    def _grow(self, numbers: list[int]) -> None:
        newest = self.last_number or 0
        for number in numbers:
            if number <= newest:
                raise ValueError(f"sequence number {number} does not follow {newest}")
            newest = number
        self.numbers += numbers

    def _ready_at(self, position: int) -> _Ready | None:
        index = bisect_right(self._ready, position, key=lambda page: page.start) - 1
        if index < 0 or position >= self._ready[index].start + self._ready[index].count:
            return None
        return self._ready[index]

    def _bodies_from(self, position: int, ready: _Ready | None, limit: int) -> list[bytes]:
        if ready is not None:
            skipped = position - ready.start
            available = ready.records()[skipped : skipped + limit]
        else:
            stop = min(position + limit, self.end)
            wanted = (self._bodies.get(at) for at in range(position, stop))
            available = []
            for body in wanted:
                if body is None:  # a preloaded page begins here
                    break
                available.append(body)
        return available[: _fitting(available)]


def _fitting(bodies: list[bytes]) -> int:
    """How many of them fit into a page; the first always does."""
    total = 0
    for count, body in enumerate(bodies):
        total += len(body)
        if total > PAGE_BYTES_MAX and count > 0:
            return count
    return len(bodies)
