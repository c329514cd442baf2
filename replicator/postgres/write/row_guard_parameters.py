"""Parameters of the row guard's statement, made from a plan; reads the statement's answer."""

from collections.abc import Iterator
from typing import Any

import asyncpg

from replicator.core.planning.row_guard import (
    GuardRejection,
    OtherOrder,
    Overtaken,
    Versioning,
)
from replicator.core.planning.write_plan import TargetWrites, WritePlan
from replicator.core.stream_record import LetterId, StreamRecord
from replicator.core.values.row_builder import Row
from replicator.postgres.write.row_guard_sql import VersionShape
from replicator.postgres.write.statement_parameters import transposed


def version_shape(plan: WritePlan, versioning: Versioning) -> VersionShape:
    """Shape of the statement that a plan needs."""
    written = _written_places(plan)
    softly = any(plan.writes[place].target.table.soft for place in written)
    return VersionShape(
        versioning.guard,
        written,
        kept_places(plan),
        softly and versioning.guard == "stream",
        versioning.order,
    )


def version_arrays(plan: WritePlan) -> list[list[Any]]:
    """Arrays of the plan: for each target with changes, then for each with rejected ones."""
    arrays: list[list[Any]] = []
    for place in _written_places(plan):
        writes = plan.writes[place]
        width = len(writes.target.table.key)
        arrays += transposed(
            [
                (*row[:width], str(record.version), record.created_at, deleted)
                for row, record, deleted in _changes(writes)
            ]
        )
        if writes.target.table.soft:
            arrays.append(_values(writes))
    return arrays + kept_arrays(plan)


def kept_places(plan: WritePlan) -> tuple[int, ...]:
    """The targets with rejected changes, by the places."""
    return tuple(place for place, writes in enumerate(plan.writes) if writes.kept)


def kept_arrays(plan: WritePlan) -> list[list[Any]]:
    """The arrays of the rejected changes."""
    arrays: list[list[Any]] = []
    for place in kept_places(plan):
        writes = plan.writes[place]
        arrays += transposed(
            [
                (*key, str(record.version), record.created_at, False, str(record.letter_id))
                for key, record in zip(writes.kept.rows, writes.kept.records, strict=True)
            ]
        )
    return arrays


def rejections_in(plan: WritePlan, row: asyncpg.Record) -> tuple[GuardRejection, ...]:
    """Changes that the statement rejected."""
    away = [row[name] or () for name in ("away_targets", "away_places", "away_reasons")]
    changes = {target: list(_changes(plan.writes[target])) for target in set(away[0])}
    return tuple(
        GuardRejection(
            plan.writes[target].target.name, place - 1, changes[target][place - 1][1], reason
        )
        for target, place, reason in zip(*away, strict=True)
    )


def overtaken_in(plan: WritePlan, row: asyncpg.Record) -> Overtaken:
    """Rejected items of a scan that are older than the rows."""
    if "behind_targets" not in row:
        return frozenset()
    behind = zip(row["behind_targets"] or (), row["behind_letters"] or (), strict=True)
    return frozenset((plan.writes[target].target.name, LetterId(id_)) for target, id_ in behind)


def undecided_in(row: asyncpg.Record) -> int:
    """Number of changes to which nothing decided the order."""
    return int(row.get("undecided", 0))


def other_orders_in(plan: WritePlan, row: asyncpg.Record) -> tuple[OtherOrder, ...]:
    """Upserts that met a soft deletion in another order."""
    if "other_targets" not in row:
        return ()
    found = [row[name] or () for name in ("other_targets", "other_places", "other_times")]
    return tuple(
        OtherOrder(plan.writes[target].target.name, place - 1, at)
        for target, place, at in zip(*found, strict=True)
        if place <= len(plan.writes[target].upserted.rows)
    )


def _written_places(plan: WritePlan) -> tuple[int, ...]:
    return tuple(
        place
        for place, writes in enumerate(plan.writes)
        if writes.upserted.rows or writes.deleted.rows or writes.softly_deleted.rows
    )


def _changes(writes: TargetWrites) -> Iterator[tuple[Row, StreamRecord, bool]]:
    """Row or key, the change behind it, and whether the row goes."""
    upserts = writes.upserted
    for place, (row, record) in enumerate(zip(upserts.rows, upserts.records, strict=True)):
        yield row, record, place in upserts.beneath
    for gone in (writes.deleted, writes.softly_deleted):
        for row, record in zip(gone.rows, gone.records, strict=True):
            yield row, record, True


def _values(writes: TargetWrites) -> list[str]:
    """For each change the one that decides the row's values: a soft deletion leaves them alone."""
    beneath = writes.upserted.beneath
    upserts = [beneath.get(place, each) for place, each in enumerate(writes.upserted.records)]
    numbers = [str(record.version) for record in [*upserts, *writes.deleted.records]]
    return numbers + ["0"] * len(writes.softly_deleted)
