"""The lines that the steps of a snapshot are worth."""

from typing import Literal, assert_never

from replicator.core.observations import (
    SegmentEnded,
    SnapshotBegun,
    SnapshotEnded,
    SnapshotProgressed,
    SweepRefused,
)

SnapshotStep = SnapshotBegun | SnapshotProgressed | SegmentEnded | SweepRefused | SnapshotEnded


def snapshot_line(
    step: SnapshotStep,
) -> tuple[Literal["debug", "info", "error"], str, dict[str, object]]:
    """Level, words and fields."""
    match step:
        case SnapshotBegun(table=table, snapshot_id=number, reason=reason):
            return "info", "snapshot begun", {"table": table, "snapshot": number, "reason": reason}
        case SnapshotProgressed(table=table, snapshot_id=number, items=items):
            fields = {"table": table, "snapshot": number, "items": items}
            return "info", "snapshot goes on", fields | {"items_estimated": step.items_estimated}
        case SegmentEnded(table=table, part=part, target=target):
            fields = {"table": table, "part": part}
            if target is None:
                return "info", "part of a snapshot scanned", fields
            return "info", "target swept", fields | {"target": target}
        case SweepRefused(table=table, snapshot_id=number, detail=detail):
            fields = {"table": table, "snapshot": number, "detail": detail}
            remedy = f"replicator snapshot --table {table} --force, or --cancel"
            return "error", "sweep refused until a person decides", fields | {"remedy": remedy}
        case SnapshotEnded(table=table, snapshot_id=number, items=items, swept=swept):
            fields = {"table": table, "snapshot": number, "items": items, "swept": swept}
            return "info", "snapshot ended", fields
        case _:
            assert_never(step)
