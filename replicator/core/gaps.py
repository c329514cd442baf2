"""Whether records may have left the stream before we read them. Pure."""

from datetime import datetime, timedelta

from replicator.core.observations import GapKind

RETENTION = timedelta(hours=24)
"""DynamoDB Streams keeps a record for 24 hours (Developer Guide, Streams.html)."""
MARGIN = timedelta(minutes=15)
"""For clocks that differ and creation times that are rounded down or go back."""


def is_proved_complete(
    *, requested_at: datetime, safe_at: datetime | None, accepted_at: datetime | None = None
) -> bool:
    """True when an answer to a request made at that time cannot have skipped a record.

    Every unread record is younger than `safe_at`, or its loss was accepted; so none can have been
    trimmed while less than the retention has passed. Judge after the answer and before the apply,
    with the time of the request: a pause in between must not count as proof.
    """
    known = [instant for instant in (safe_at, accepted_at) if instant is not None]
    return bool(known) and requested_at - max(known) < RETENTION - MARGIN


def kind_of_gap(*, position: int | None, known: int | None) -> GapKind:
    """Certain only when unread records were seen; an idle shard's gap is at most possible."""
    unread_seen = known is not None and (position is None or known > position)
    return "certain" if unread_seen else "possible"


def headroom_seconds(*, now: datetime, safe_at: datetime) -> float:
    """Seconds until the oldest unread record may be trimmed; 0 when it may be already."""
    return max(0.0, (RETENTION - (now - safe_at)).total_seconds())
