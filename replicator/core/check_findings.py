"""Findings of `check` and reasons of halts, each with a remedy. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from replicator.errors import Disposition, ReplicatorError, SourceDenied

FindingSeverity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault or notable fact.

    An error loses or stops changes; a warning is a fact to know. `where` names a table, target
    or part of the configuration. `unreachable`: a server did not answer, so nothing is known. `sql`
    are the statements of the remedy, where statements alone are one.
    """

    severity: FindingSeverity
    where: str
    message: str
    remedy: str
    unreachable: bool = False
    sql: str = ""


def finding_of(where: str, error: ReplicatorError) -> Finding:
    """A failure met while checking, as a finding."""
    denied = isinstance(error, SourceDenied)
    return Finding(
        "error",
        where,
        str(error),
        error.remedy or "see the message",
        unreachable=not denied and error.disposition in {Disposition.RETRY, Disposition.RELEASE},
    )


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that must be fixed."""
    return [finding for finding in findings if finding.severity == "error"]


def document(finding: Finding) -> dict[str, Any]:
    """The finding as JSON."""
    return {
        "severity": finding.severity,
        "where": finding.where,
        "message": finding.message,
        "remedy": finding.remedy,
        "unreachable": finding.unreachable,
        "sql": finding.sql,
    }


def how_to_go_on(error: ReplicatorError, source: str) -> str:
    """The remedy of the halt, and the command that resumes the table."""
    command = f"replicator resume --table {source}"
    remedy = error.remedy or "correct it"
    return remedy if command in remedy else f"{remedy}; then run `{command}`"
