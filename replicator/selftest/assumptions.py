"""Beliefs about DynamoDB Streams, each held against what a self-test has measured. Pure.

The engine rests on facts that AWS documents loosely or not at all (`docs/guarantees.md`). Each
belief becomes a `Fact`: the belief in words, what was measured, and whether it held. A fact whose
`holds` is None was measured and decides nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Fact:
    """One measured fact; `holds` False: the engine believes something else."""

    name: str
    belief: str
    measured: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class SeenRecord:
    """A record as it was read: `seconds` is the time from the creation to the first sight."""

    shard_id: str
    item: str
    sequence_number: int
    created_at: float | None
    seen_at: float


@dataclass(frozen=True, slots=True)
class SeenAnswer:
    """An answer of a shard: how many records it had, and when the first of them was created.

    `asked_at` and `created_at` are seconds of the source's clock; `created_at` is a whole one, and
    None where there is no record or it does not say.
    """

    shard_id: str
    asked_at: float
    records: int
    created_at: float | None = None


@dataclass(frozen=True, slots=True)
class StreamReading:
    """Records and answers read from the scratch table's stream.

    `answers`: those of all shards in order; `bytes_max`: the largest one; `calls`, `throttled`:
    GetRecords that were made without a pause and those that were refused.
    `bad_iterator`: the error code for an iterator that never existed.
    """

    shards: Mapping[str, str | None]
    records: Sequence[SeenRecord]
    answers: Sequence[SeenAnswer]
    bytes_max: int
    calls: int
    calls_seconds: float
    throttled: int
    bad_iterator: str
    dated: bool


def facts_of(
    reading: StreamReading,
    *,
    changes: int,
    seconds_to_rows: Sequence[float],
    clock_skew: float | None,
) -> list[Fact]:
    """The facts of one self-test.

    `changes`: how many were made. `seconds_to_rows`: from a write to the row in PostgreSQL, of
    some single writes. `clock_skew`: the source's clock minus the machine's, in seconds.
    """
    records_max = max((answer.records for answer in reading.answers), default=0)
    return [
        _complete(reading, changes),
        _ordered(
            "order in a shard",
            "sequence numbers grow along a shard",
            ((record.shard_id, record.sequence_number) for record in reading.records),
        ),
        _ordered(
            "order of an item",
            "sequence numbers of one item grow in the order of its changes",
            ((record.item, record.sequence_number) for record in reading.records),
        ),
        _digits(reading),
        _resolution(reading),
        _not_ahead(reading),
        Fact(
            "source's clock",
            "answers carry a Date header, by which ages are told",
            "present" + (f", {clock_skew:+.1f} s to this machine" if clock_skew is not None else "")
            if reading.dated
            else "absent",
            reading.dated,
        ),
        _latency(
            "write to read", [r.seen_at - (r.created_at or r.seen_at) for r in reading.records]
        ),
        _latency("write to row", seconds_to_rows),
        _empties(reading),
        Fact(
            "page size",
            "an answer holds 1 MB or 1,000 records at most",
            f"{records_max} records, {reading.bytes_max:,} bytes at most",
            records_max <= 1000,
        ),
        Fact(
            "iterator that never existed",
            "is refused as ValidationException or ExpiredIteratorException",
            reading.bad_iterator,
            reading.bad_iterator in ("ValidationException", "ExpiredIteratorException"),
        ),
        Fact(
            "rate of GetRecords",
            "five a second for each shard",
            f"{reading.calls} without a pause in {reading.calls_seconds:.1f} s, "
            f"{reading.throttled} throttled",
            None,
        ),
        Fact(
            "shards",
            "a new table on demand has some open shards without parents",
            f"{len(reading.shards)}, {sum(1 for parent in reading.shards.values() if parent)} "
            "with a parent",
            bool(reading.shards),
        ),
        Fact(
            "deletions by time to live",
            "carry the identity dynamodb.amazonaws.com",
            "not measured: AWS takes up to two days",
            None,
        ),
    ]


def _complete(reading: StreamReading, changes: int) -> Fact:
    read = len(reading.records)
    return Fact(
        "every change once",
        "each change is in the stream exactly once",
        f"{changes} changes, {read} records",
        read == changes,
    )


def _ordered(name: str, belief: str, pairs: Iterable[tuple[str, int]]) -> Fact:
    last: dict[str, int] = defaultdict(lambda: -1)
    wrong = 0
    for group, number in pairs:
        wrong += number <= last[group]
        last[group] = number
    return Fact(name, belief, f"{len(last)} checked, {wrong} out of order", not wrong)


def _digits(reading: StreamReading) -> Fact:
    digits = [len(str(record.sequence_number)) for record in reading.records]
    measured = f"{min(digits, default=0)} to {max(digits, default=0)} digits"
    return Fact(
        "sequence numbers", "have 40 digits at most", measured, max(digits, default=0) <= 40
    )


def _resolution(reading: StreamReading) -> Fact:
    times = [record.created_at for record in reading.records if record.created_at is not None]
    fractions = any(time % 1 for time in times)
    minutes = bool(times) and all(time % 60 == 0 for time in times)
    measured = "none" if not times else "below a second" if fractions else "a second"
    return Fact(
        "creation times",
        "have a resolution of a second",
        "a minute" if minutes else measured,
        bool(times) and not minutes,
    )


def _not_ahead(reading: StreamReading) -> Fact:
    ahead = [r.created_at - r.seen_at for r in reading.records if r.created_at is not None]
    most = max(ahead, default=0.0)
    return Fact(
        "creation before sight",
        "no record is created after it was read, by the source's clock",
        f"{most:+.1f} s at most",
        most <= 1.0,
    )


def _latency(name: str, seconds: Sequence[float]) -> Fact:
    if not seconds:
        return Fact(name, "about a second", "not measured", None)
    measured = f"median {median(seconds):.2f} s, at most {max(seconds):.2f} s"
    return Fact(name, "about a second", measured, None)


def _empties(reading: StreamReading) -> Fact:
    """Empty answers of a shard whose next record existed when they were asked for: at the head of a
    shard every answer is empty, for as long as nothing is written.
    """
    longest = 0
    empty: dict[str, list[float]] = {}
    for answer in reading.answers:
        asked = empty.setdefault(answer.shard_id, [])
        if answer.records == 0:
            asked.append(answer.asked_at)
            continue
        if answer.created_at is not None:
            longest = max(longest, sum(at >= answer.created_at + 1.0 for at in asked))
        asked.clear()
    return Fact(
        "empty answers before records",
        "fewer than five in a row where a record is there",
        f"{longest} in a row",
        longest < 5,
    )


def document(facts: Iterable[Fact]) -> list[dict[str, Any]]:
    """The facts as JSON."""
    return [
        {"name": f.name, "belief": f.belief, "measured": f.measured, "holds": f.holds}
        for f in facts
    ]
