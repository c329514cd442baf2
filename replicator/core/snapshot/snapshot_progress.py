"""Progress of a snapshot for people and machines. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from replicator.core.snapshot.snapshot_state import (
    SnapshotFacts,
    SnapshotOrigin,
    SnapshotReason,
    SnapshotState,
)


@dataclass(frozen=True, slots=True)
class SnapshotStatus:
    """A snapshot that is not over, or the last one. Estimates are None where nothing is known."""

    id: int
    reason: SnapshotReason
    state: SnapshotState
    who: str
    items: int
    items_estimated: int | None
    """The source's item count when the snapshot began; AWS updates the count every six hours."""
    swept: int
    read_units: float
    parts: int
    parts_done: int
    seconds_left: float | None
    detail: str | None
    origin: SnapshotOrigin = "scan"
    loaded: bool = False
    """True when only sweeps are left."""

    @property
    def unfinished(self) -> bool:
        """True while some step of the snapshot is still to be done."""
        return self.state in ("asked", "running", "refused")

    @property
    def done_share(self) -> float:
        """Share that is done, from 0 to 1: ended segments or items, whichever is more."""
        if self.state == "done":
            return 1.0
        if not self.parts:
            return 0.0
        by_parts = self.parts_done / self.parts
        if not self.items_estimated:
            return by_parts
        return min(0.99, max(by_parts, self.items / self.items_estimated))


def snapshot_status(facts: SnapshotFacts, *, now: datetime) -> SnapshotStatus:
    """Progress of a snapshot, from the facts."""
    return SnapshotStatus(
        id=facts.id,
        reason=facts.reason,
        state=facts.state,
        who=facts.who,
        items=facts.items,
        items_estimated=facts.items_estimated,
        swept=facts.swept,
        read_units=facts.read_units,
        parts=len(facts.segments),
        parts_done=sum(segment.state == "done" for segment in facts.segments),
        seconds_left=_seconds_left(facts, now),
        detail=facts.detail,
        origin=facts.origin,
        loaded=all(segment.state == "done" for segment in facts.scan),
    )


def snapshot_document(status: SnapshotStatus) -> dict[str, Any]:
    """The status as JSON."""
    return {
        "id": status.id,
        "reason": status.reason,
        "origin": status.origin,
        "state": status.state,
        "who": status.who,
        "items": status.items,
        "items_estimated": status.items_estimated,
        "swept": status.swept,
        "read_units": round(status.read_units, 1),
        "parts": status.parts,
        "parts_done": status.parts_done,
        "done_share": round(status.done_share, 4),
        "seconds_left": status.seconds_left,
        "detail": status.detail,
    }


def _seconds_left(facts: SnapshotFacts, now: datetime) -> float | None:
    """Expected time by the time per item so far; None before the first item."""
    if facts.state != "running" or facts.started_at is None or not facts.items_estimated:
        return None
    elapsed = (now - facts.started_at).total_seconds()
    left = facts.items_estimated - facts.items
    if facts.items == 0 or elapsed <= 0:
        return None
    return round(max(0, left) * elapsed / facts.items, 1)
