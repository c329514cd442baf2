"""Notices: problems that a person is told of, anywhere. Pure.

Metrics and alerts need a Prometheus; a notice needs an address only. Notices are few, so that each
is worth waking a person: a gap, a table that is stopped until a person acts, and more open
dead letters than a bound.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from replicator.core.status.deployment_problems import diagnose
from replicator.core.status.deployment_status import Status

SCHEMA_VERSION = 1
TOLD_KINDS = ("gap", "halted", "snapshot")
"""Kinds of problems that are told where critical, beside dead letters."""

NoticeEvent = Literal["opened", "resolved"]


@dataclass(frozen=True, slots=True)
class Notice:
    """A problem of a table that is worth telling; `table` and `kind` identify the problem while
    open."""

    table: str
    kind: str
    severity: str
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Due:
    """A notice that is to be delivered. `number` counts the times that the problem opened, `since`
    is when the event was seen.
    """

    notice: Notice
    event: NoticeEvent
    number: int
    since: datetime


def notices(status: Status, *, dead_letters_max: int) -> tuple[Notice, ...]:
    """The notices of a status, one for each table and kind of problem."""
    return tuple(
        {(each.table, each.kind): each for each in _found(status, dead_letters_max)}.values()
    )


def _found(status: Status, dead_letters_max: int) -> Iterable[Notice]:
    many = {
        table.source
        for table in status.tables
        if sum(table.dead_letters.values()) > dead_letters_max
    }
    for problem in diagnose(status).problems:
        grave = problem.severity == "critical" and problem.kind in TOLD_KINDS
        letters = problem.kind == "dead_letters" and problem.table in many
        if problem.table is not None and (grave or letters):
            yield Notice(
                problem.table, problem.kind, problem.severity, problem.what, problem.remedy
            )


def body(deployment: str, due: Due) -> Mapping[str, Any]:
    """The JSON of a notice. `id` is the same each time that one event is delivered."""
    notice = due.notice
    return {
        "schema_version": SCHEMA_VERSION,
        "id": f"{deployment}/{notice.table}/{notice.kind}/{due.number}/{due.event}",
        "deployment": deployment,
        "event": due.event,
        "table": notice.table,
        "kind": notice.kind,
        "severity": notice.severity,
        "what": notice.what,
        "remedy": notice.remedy,
        "since": due.since.isoformat().replace("+00:00", "Z"),
    }
