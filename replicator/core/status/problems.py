"""Problems of a deployment, the worst first, each with the command that fixes it. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

from replicator.core.status.document import Status, TableStatus
from replicator.core.status.drift import Drifted

LIVING_SECONDS = 60.0
HEADROOM_SECONDS_MIN = 6 * 3600.0
"""With less than this left, a person should look at it today."""
VERIFIED_SECONDS_MAX = 8 * 86400.0
"""A comparison that is older than this says little: one a week is usual."""


class Severity(IntEnum):
    """Urgency of a problem; the lowest number first."""

    STOPPED = 1
    LOSING = 2
    IDLE = 3
    ASIDE = 4
    NOTE = 5


@dataclass(frozen=True, slots=True)
class Trouble:
    """`where`: a table, or `workers`. `remedy`: a command, or what to do in words."""

    severity: Severity
    where: str
    what: str
    remedy: str


def with_configured(status: Status, configured: Iterable[str]) -> Status:
    """The status with the tables that are only in the configuration, and a word on the others.

    What is configured and not registered is stopped: nothing of it is replicated until somebody
    runs `migrate`. What is registered and not configured keeps its positions until `forget`.
    """
    names = set(configured)
    registered = {table.source for table in status.tables}
    tables = [table if table.source in names else _left_behind(table) for table in status.tables]
    return replace(status, tables=(*map(_unregistered, sorted(names - registered)), *tables))


def troubles(status: Status) -> list[Trouble]:
    """Everything a person should know of, the worst first."""
    found = [*_workers(status)]
    for table in status.tables:
        found += _table(table)
    return sorted(found, key=lambda trouble: (trouble.severity, trouble.where))


def _table(table: TableStatus) -> Iterable[Trouble]:
    if table.reason is not None:
        stopped = table.state in ("halted", "gap", "paused")
        severity = Severity.STOPPED if stopped else Severity.NOTE
        yield Trouble(severity, table.source, table.reason, table.remedy or "")
    headroom = table.retention_headroom_seconds
    if headroom is not None and headroom < HEADROOM_SECONDS_MIN and table.state != "gap":
        left = f"in {headroom / 3600:.1f} h" if headroom else "now"
        what = f"the oldest change that may be unread leaves the stream {left}"
        yield Trouble(Severity.LOSING, table.source, what, "let it be read before that")
    letters = sum(table.dead_letters.values())
    if letters:
        what = f"{letters} dead letter{'s' * (letters > 1)}"
        remedy = f"replicator dead-letters list --table {table.source}"
        yield Trouble(Severity.ASIDE, table.source, what, remedy)
    yield from _verified(table)
    if table.drift:
        named = _named([_drifted(name, drifted) for name, drifted in table.drift.items()])
        what = f"attributes that no column and no `rest` takes: {named}"
        yield Trouble(Severity.NOTE, table.source, what, "map them, or say `rest`")


def _verified(table: TableStatus) -> Iterable[Trouble]:
    verified, ago = table.verified, table.verified_seconds_ago
    if verified is None or ago is None:
        return
    again = f"replicator verify --table {table.source}"
    if verified.unequal:
        rows = f"{verified.unequal} row{'s' * (verified.unequal > 1)}"
        what = f"the last verify found {rows} unequal, {_ago(ago)}"
        yield Trouble(Severity.ASIDE, table.source, what, f"{again} --repair")
    elif ago > VERIFIED_SECONDS_MAX:
        what = f"source and target were last compared {_ago(ago)}"
        yield Trouble(Severity.NOTE, table.source, what, again)


def _ago(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:.0f} min ago"
    if seconds < 86400:
        return f"{seconds / 3600:.1f} h ago"
    return f"{seconds / 86400:.1f} days ago"


def _workers(status: Status) -> Iterable[Trouble]:
    living = [worker for worker in status.workers if worker.seen_seconds_ago < LIVING_SECONDS]
    if not living and any(table.needs_workers for table in status.tables):
        what = f"none was seen within the last {LIVING_SECONDS:g} s"
        yield Trouble(Severity.IDLE, "workers", what, "replicator run")


def _drifted(name: str, drifted: Drifted) -> str:
    types = ", ".join(drifted.types) or "of no known type"
    return f"{name} ({types}, since {drifted.first_seen:%Y-%m-%d})"


def _named(names: Collection[str], *, shown_max: int = 5) -> str:
    shown = sorted(names)[:shown_max]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _unregistered(source: str) -> TableStatus:
    return TableStatus(
        source=source,
        stream_arn=None,
        state="halted",
        lag_seconds=None,
        retention_headroom_seconds=None,
        poll_age_seconds=None,
        shards={},
        dead_letters={},
        needs_workers=False,
        reason="in the configuration, but not registered yet: nothing of it is replicated",
        remedy="replicator migrate",
    )


def _left_behind(table: TableStatus) -> TableStatus:
    reason = "not in the configuration any more: its positions stay until it is forgotten"
    return replace(
        table,
        reason=reason if table.reason is None else f"{table.reason}; {reason}",
        remedy=table.remedy or f"replicator forget --table {table.source}",
    )
