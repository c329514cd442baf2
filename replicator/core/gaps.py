"""Whether records may have left the stream before we read them. Pure."""

from datetime import datetime, timedelta

from replicator.core.observations import GapKind
from replicator.core.shards import Mode

RETENTION = timedelta(hours=24)
"""DynamoDB Streams keeps a record for 24 hours (Developer Guide, Streams.html)."""
MARGIN = timedelta(minutes=15)
"""For clocks that differ and creation times that are rounded down or go back."""


NOT_OWED = timedelta(hours=1)
"""What is so near to being trimmed when a shard is found is read if it is there, not promised."""


def is_proved_complete(
    *,
    answered_at: datetime,
    safe_at: datetime | None,
    found_at: datetime,
    accepted_at: datetime | None = None,
) -> bool:
    """True when an answer that was there at that time cannot have skipped a record we owe.

    Every unread record is younger than `safe_at`, or its loss was accepted, or it was about to be
    trimmed when the shard was found; so none can have been trimmed while less than the retention
    has passed. The time of the request would prove too much: whoever sleeps for a day between
    looking at the clock and sending gets an answer of a day later.
    """
    base = found_at - RETENTION + NOT_OWED
    for instant in (safe_at, accepted_at):
        if instant is not None and instant > base:
            base = instant
    return answered_at - base < RETENTION - MARGIN


def kind_of_gap(*, position: int | None, known: int | None) -> GapKind:
    """Certain only when unread records were seen; an idle shard's gap is at most possible."""
    unread_seen = known is not None and (position is None or known > position)
    return "certain" if unread_seen else "possible"


def headroom_seconds(*, now: datetime, safe_at: datetime) -> float:
    """Seconds until the oldest unread record may be trimmed; 0 when it may be already."""
    return max(0.0, (RETENTION - (now - safe_at)).total_seconds())


def how_to_mend(source: str, mode: Mode) -> str:
    """The commands that load a table anew or accept its gaps; who copies one says why.

    What AWS Lambda writes no worker can load.
    """
    accept = f'replicator gaps accept --table {source} --why "..."'
    if mode == "lambda":
        return accept
    load = f'replicator snapshot --table {source} --why "..."'
    return f"`{load}` loads it anew, `{accept}` leaves what is lost as it is"
