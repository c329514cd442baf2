"""Rows that the row guard rejects, and what becomes of the plan and of the records' outcomes. Pure.

Theory of operation
-------------------
The problem: the shard's fence proves the order of the changes of one shard, read by one worker.
Two writers have no such proof: AWS Lambda, which may deliver batches again, in parallel and
without naming the shard, and a scan, whose pages were read at some moment between two changes of
the stream. Written as they come, an older image could overwrite a newer one, or bring back an
item that was deleted meanwhile.

The idea: PostgreSQL remembers for each row the newest change that any writer has brought, in
`row_version`: generation (which stream, in order of the labels; 0 is a scan) and sequence
number, whether the row is gone, and which snapshot has seen the key. Every guarded transaction
writes versions first, with `on conflict do update … where older`, and applies rows only for the
keys that the statement returns. Two writers of one key meet at the version: the second waits for
the first to commit, compares again, and writes nothing if the first was newer.
`postgres/write/row_guard_sql` has the SQL; this module says what follows from what the
statement rejected.

The five guards (`Guard`):
  * `stream`: a change must be newer than the row's version.
  * `scan`: a page's row must be the first that the snapshot sees of the key. What the stream
    wrote since the snapshot began carries the snapshot's id and stays; older rows are repaired.
    The version stays what it was, so that a late older change of the stream is still rejected.
  * `heal`: the last change of an item in a gap, or the deletion, must be the first that the
    snapshot sees of the key: incremental exports are loaded newest first.
  * `sweep`: a key that nothing has seen since the snapshot began is claimed by a version before
    the row is deleted.
  * `letter`: a dead letter of a scan that is replayed; anything newer has closed the letter.

The invariants: a deletion leaves a version behind (a tombstone) as long as an older change may
come; a rejected change becomes a dead letter and does not move the version, so that an older
change that converts still applies; the version is written before the row, in the same
transaction.

A record that no target needed counts as `duplicate` where every target had the very change, else
as `superseded` (`outcomes_after_guard`).

Broken without it: a page read before a REMOVE resurrects the item; a batch delivered twice undoes
the batch between; a version that is read instead of written lets two writers both pass.
`tests/model` and `tests/postgres/test_row_guard.py` explore the interleavings.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from replicator.core.planning.record_outcomes import OUTCOMES
from replicator.core.planning.write_plan import Changes, TargetWrites, Upserts, WritePlan
from replicator.core.stream.source_kind import ChangeOrder, kind_of
from replicator.core.stream.stream_generations import generation
from replicator.core.stream_record import LetterId, StreamRecord
from replicator.core.telemetry_events import GuardReason, Operation, Outcome, RecordOutcome

Guard = Literal["stream", "scan", "heal", "sweep", "letter"]
"""Comparison of versions: a change of a stream must be newer than the row's version; a row of a
scan must be the first that the snapshot sees of the key, a sweep the first that sees the key
at all, and so must a change in a gap, of which newer ones come first. An open dead letter of a scan
is the newest that is known of the item, whatever the version is.
"""
LOADS: tuple[Guard, ...] = ("scan", "heal")
"""Guards of what a snapshot loads: such changes have no place in a stream."""


@dataclass(frozen=True, slots=True)
class Versioning:
    """Comparison and marking of the versions of a plan's rows."""

    guard: Guard
    generation: int
    snapshot_id: int | None
    """The snapshot under way: the keys that are written count as seen by this snapshot."""
    order: ChangeOrder = "number"


def stream_versioning(stream_arn: str, snapshot_id: int | None) -> Versioning:
    """The versioning of what a stream brings."""
    order = kind_of(stream_arn).order
    return Versioning("stream", generation(stream_arn), snapshot_id, order)


@dataclass(frozen=True, slots=True)
class GuardRejection:
    """A change that one target did not need: the row has a newer version, or the change already.

    `place` is the place among the target's upserts, deletes and soft deletes, in order.
    """

    target: str
    place: int
    record: StreamRecord
    reason: GuardReason


@dataclass(frozen=True, slots=True)
class OtherOrder:
    """An upsert and a soft deletion of the row that came in the wrong order.

    `deleted_at`: the row has the upsert's values, and was deleted at that time. None: the upsert
    itself is superseded; the deleted row keeps the present, newer values.
    """

    target: str
    place: int
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Applied:
    """Rows that one transaction wrote, and changes that the guard rejected meanwhile."""

    rows: Mapping[tuple[str, Operation], int]
    rejections: tuple[GuardRejection, ...] = ()
    undecided: int = 0
    """Changes to which nothing decided the order: the one that came later was taken."""


Overtaken = frozenset[tuple[str, LetterId]]
"""Rejected items of a scan with rows that the stream wrote since the snapshot began: target and
dead-letter id."""


def letters_overtaken(plan: WritePlan, overtaken: Overtaken) -> WritePlan:
    """The plan with the dead letters closed of items that the stream has overtaken."""
    if not overtaken:
        return plan
    letters = tuple(
        replace(letter, superseded=True)
        if (letter.target, letter.record.letter_id) in overtaken
        else letter
        for letter in plan.dead_letters
    )
    return replace(plan, dead_letters=letters)


def reasons(rejections: Sequence[GuardRejection]) -> Mapping[GuardReason, int]:
    """Number of rejections by reason."""
    return Counter(rejection.reason for rejection in rejections)


def accepted(
    plan: WritePlan,
    rejections: Sequence[GuardRejection],
    other_orders: Sequence[OtherOrder] = (),
) -> WritePlan:
    """The plan without superseded changes; dead letters and appends to a history stay.

    Entries of a history for a gap go with the superseded changes.

    An upsert that met a soft deletion in another order has the row's time of deletion.
    """
    if not rejections and not other_orders:
        return plan
    away = {(rejection.target, rejection.place): rejection.record for rejection in rejections}
    deleted = {(other.target, other.place): other.deleted_at for other in other_orders}
    return replace(plan, writes=tuple(_accepted(writes, away, deleted) for writes in plan.writes))


def _accepted(
    writes: TargetWrites,
    away: Mapping[tuple[str, int], StreamRecord],
    deleted: Mapping[tuple[str, int], datetime | None],
) -> TargetWrites:
    name, width = writes.target.name, len(writes.target.table.key)
    upserts = writes.upserted
    left = replace(writes, upserted=Upserts(), deleted=Changes(), softly_deleted=Changes())
    if writes.appended:
        older = {id(record) for (target, _), record in away.items() if target == name}
        entries = zip(writes.appends, writes.appended, strict=True)
        left = replace(left, appends=[row for row, record in entries if id(record) not in older])
    first = len(upserts)
    for given, taken in (
        (writes.deleted, left.deleted),
        (writes.softly_deleted, left.softly_deleted),
    ):
        places = range(len(given))
        taken.take_only(given, [each for each in places if (name, first + each) not in away])
        first += len(given)
    for place, (row, record) in enumerate(zip(upserts.rows, upserts.records, strict=True)):
        if (name, place) in away:
            continue
        at = deleted.get((name, place))
        if (name, place) in deleted and at is None:
            left.softly_deleted.add((*row[:width], row[-1]), record)
            continue
        left.upserted.add_whole(
            row if at is None else (*row[:-1], at.isoformat()),
            record,
            upserts.children[place] if upserts.children else (),
            beneath=upserts.beneath.get(place),
        )
    return left


def outcomes_after_guard(
    records: Sequence[StreamRecord], plan: WritePlan, rejections: Sequence[GuardRejection]
) -> Mapping[RecordOutcome, int]:
    """The plan's outcomes corrected for records that no target needed any more.

    Such a record is a duplicate if every target had the very change, else superseded. A record that
    some target still took is applied; dead letters and filtered records stay unchanged.
    """
    if not rejections:
        return plan.outcomes
    rejected: defaultdict[int, list[GuardReason]] = defaultdict(list)
    for rejection in rejections:
        rejected[id(rejection.record)].append(rejection.reason)
    written = Counter(
        id(record)  # a scan's records have no numbers of their own
        for writes in plan.writes
        for group in (writes.upserted, writes.deleted, writes.softly_deleted)
        for record in group.records
    )
    outcomes = Counter(plan.outcomes)
    for record, rank in zip(records, plan.ranks, strict=True):
        found = rejected.get(id(record))
        if found and OUTCOMES[rank] == "applied" and len(found) == written[id(record)]:
            repeated = all(reason == "duplicate" for reason in found)
            outcome: Outcome = "duplicate" if repeated else "superseded"
            outcomes[record.event, "applied"] -= 1
            outcomes[record.event, outcome] += 1
    return +outcomes
