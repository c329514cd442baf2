"""Problems of a deployment, the worst first, each with the command that fixes it. Pure.

Each table has at most one problem of its chain, the first link that is not proved, and besides
facts that a person should know anyway: data that is soon lost, dead letters, drift, unequal rows.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from shlex import quote

from replicator.core.status.attribute_drift import Drifted
from replicator.core.status.deployment_status import Status, TableStatus
from replicator.core.status.duration_words import in_words
from replicator.core.status.table_verdict import (
    ONE_DEPLOYMENT_EACH,
    WORKED_ON_ELSEWHERE,
    Problem,
    ProblemSeverity,
    Verdict,
    broken_link,
    strangers,
    verdict_of,
    worked_on,
)

HEADROOM_SECONDS_MIN = 6 * 3600.0
"""Headroom below which a person should act today."""
HEADROOM_SECONDS_CRITICAL = 2 * 3600.0
VERIFIED_SECONDS_MAX = 8 * 86400.0
"""Age from which a comparison says little: one a week is usual."""

_SEVERITIES: Mapping[ProblemSeverity, int] = {"critical": 0, "warning": 1, "note": 2}
_KINDS = ("halted", "gap", "unregistered", "left_out", "mapping", "headroom", "workers", "paused")
"""Kinds that come first among problems of one severity, in order."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Verdicts and problems of a deployment. `broken`: the first broken link of each table."""

    verdict: Verdict
    problems: tuple[Problem, ...]
    verdicts: Mapping[str, Verdict]
    broken: Mapping[str, Problem]


def diagnose(status: Status) -> Diagnosis:
    """The verdicts of all tables, and everything a person should know of, the worst first."""
    links = {table.source: broken_link(table, status) for table in status.tables}
    verdicts: dict[str, Verdict] = {
        source: "well" if link is None else link.verdict for source, link in links.items()
    }
    broken = {source: link.problem for source, link in links.items() if link is not None}
    found = list(dict.fromkeys(broken.values()))
    for table in status.tables:
        found += [*_beside(table), *strangers(table)]
    return Diagnosis(verdict_of(verdicts.values()), tuple(_in_order(found)), verdicts, broken)


def with_configured(status: Status, configured: Iterable[str]) -> Status:
    """The status with the tables that are only in the configuration, and a word on the others.

    A table that is configured and not registered is stopped: nothing is replicated before
    `migrate`. A table that is registered and not configured keeps its positions until `forget`.
    """
    names = set(configured)
    registered = {table.source for table in status.tables}
    tables = [table if table.source in names else _left_behind(table) for table in status.tables]
    return replace(status, tables=(*map(_unregistered, sorted(names - registered)), *tables))


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    rank = {kind: number for number, kind in enumerate(_KINDS)}
    return sorted(
        problems,
        key=lambda problem: (
            _SEVERITIES[problem.severity],
            rank.get(problem.kind, len(rank)),
            problem.table or "",
        ),
    )


def _beside(table: TableStatus) -> Iterable[Problem]:
    """Problems worth telling, whether the table is well or not."""
    name, headroom = table.source, table.retention_headroom_seconds
    if headroom is not None and headroom < HEADROOM_SECONDS_MIN and table.state != "gap":
        severity: ProblemSeverity = (
            "critical" if headroom < HEADROOM_SECONDS_CRITICAL else "warning"
        )
        left = f"in {in_words(headroom)}" if headroom else "now"
        what = f"the oldest change that may be unread leaves the stream {left}"
        yield Problem(severity, "headroom", name, what, "let it be read before that")
    letters = sum(table.dead_letters.values())
    if letters:
        what = f"{letters} dead letter{'s' * (letters > 1)}"
        if table.newest_dead_letter is not None:
            newest = table.newest_dead_letter
            what += f", the newest of {newest.target}: {newest.reason}"
        remedy = f"replicator dead-letters list --table {quote(name)}"
        yield Problem("warning", "dead_letters", name, what, remedy)
    yield from _verified(table)
    if table.drift:
        named = _named([_drifted(name, drifted) for name, drifted in table.drift.items()])
        what = f"attributes that no column and no `rest` takes: {named}"
        yield Problem("note", "drift", name, what, "map them, or say `rest`")


def _verified(table: TableStatus) -> Iterable[Problem]:
    verified, ago = table.verified, table.verified_seconds_ago
    if verified is None or ago is None:
        return
    again = f"replicator verify --table {quote(table.source)}"
    if verified.unequal:
        rows = f"{verified.unequal} row{'s' * (verified.unequal > 1)}"
        what = f"the last verify found {rows} unequal, {in_words(ago)} ago"
        yield Problem("warning", "verify", table.source, what, f"{again} --repair", ago)
    elif ago > VERIFIED_SECONDS_MAX:
        what = f"source and target were last compared {in_words(ago)} ago"
        yield Problem("note", "verify", table.source, what, again, ago)


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
        configured="not registered",
    )


def _left_behind(table: TableStatus) -> TableStatus:
    if worked_on(table):
        reason, remedy = WORKED_ON_ELSEWHERE, ONE_DEPLOYMENT_EACH
    else:
        reason = "not in the configuration any more: its positions stay until it is forgotten"
        remedy = f"replicator forget --table {quote(table.source)}"
    return replace(
        table,
        reason=reason if table.reason is None else f"{table.reason}; {reason}",
        remedy=table.remedy or remedy,
        configured="not configured",
    )
