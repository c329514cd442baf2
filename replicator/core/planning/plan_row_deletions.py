"""Plans the sweep of a target: stale rows, whose items are gone, are deleted by the key. Pure."""

from collections.abc import Sequence
from datetime import datetime

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.write_plan import TargetWrites, WritePlan
from replicator.core.stream_record import NOWHERE, SCANNED, LetterId, StreamRecord
from replicator.core.values.row_builder import Row

_STALE = StreamRecord(NOWHERE, SCANNED, LetterId(0), "remove", {}, None, None, None)


def plan_sweep(
    mapping: TableMapping, target: str, stale_rows: Sequence[Row], *, at: datetime
) -> WritePlan:
    """Plan the deletion of rows by the keys, as the target's `on_delete` says."""
    writes = [
        _sweep_of(mapping, place, target, stale_rows, at) for place in range(len(mapping.targets))
    ]
    return WritePlan(tuple(writes), (), (), {}, {})


def _sweep_of(
    mapping: TableMapping, place: int, target: str, stale_rows: Sequence[Row], at: datetime
) -> TargetWrites:
    own = mapping.targets[place]
    writes = TargetWrites(own, sweep=True)
    if own.name != target:
        return writes
    if own.spec.on_delete == "soft":
        rows = [(*key, at.isoformat()) for key in stale_rows]
        writes.softly_deleted.extend(rows, [_STALE] * len(stale_rows))
    else:
        writes.deleted.extend(stale_rows, [_STALE] * len(stale_rows))
    return writes
