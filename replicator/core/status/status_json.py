"""The document that `status --json` prints, and the page and everybody else draws. Pure."""

from typing import Any

from replicator.core.snapshot.snapshot_progress import snapshot_document
from replicator.core.status.attribute_drift import Drifted
from replicator.core.status.deployment_problems import diagnose
from replicator.core.status.deployment_status import (
    SCHEMA_VERSION,
    SHARD_STATES,
    GapStatus,
    LetterStatus,
    Status,
    TableStatus,
)
from replicator.core.status.table_verdict import Problem, Verdict


def document(status: Status) -> dict[str, Any]:
    """The document of a status as JSON values, in the promised shape."""
    diagnosis = diagnose(status)
    return {
        "schema_version": SCHEMA_VERSION,
        "deployment": status.deployment,
        "verdict": diagnosis.verdict,
        "problems": [_problem(problem) for problem in diagnosis.problems],
        "tables": [_table(table, diagnosis.verdicts[table.source]) for table in status.tables],
        "workers": [
            {
                "id": worker.id,
                "leases": worker.leases,
                "seen_seconds_ago": worker.seen_seconds_ago,
                "told_seconds_ago": worker.told_seconds_ago,
                "holds": dict(worker.holds),
            }
            for worker in status.workers
        ],
    }


def _problem(problem: Problem) -> dict[str, Any]:
    """A problem as JSON values, in the promised shape."""
    return {
        "severity": problem.severity,
        "kind": problem.kind,
        "table": problem.table,
        "what": problem.what,
        "remedy": problem.remedy or None,
        "since_seconds": problem.since_seconds,
    }


def _gap(gap: GapStatus) -> dict[str, Any]:
    return {
        "id": gap.id,
        "kind": gap.kind,
        "shard_id": gap.shard_id,
        "detail": gap.detail,
        "found_at": gap.found_at.isoformat(),
        "remedy": gap.remedy,
    }


def _letter(letter: LetterStatus) -> dict[str, Any]:
    return {
        "id": letter.id,
        "target": letter.target,
        "reason": letter.reason,
        "first_seen": letter.first_seen.isoformat(),
    }


def _table(table: TableStatus, verdict: Verdict) -> dict[str, Any]:
    return {
        "source": table.source,
        "verdict": verdict,
        "stream_arn": table.stream_arn,
        "state": table.state,
        "lag_seconds": table.lag_seconds,
        "retention_headroom_seconds": table.retention_headroom_seconds,
        "poll_age_seconds": table.poll_age_seconds,
        "shards": {state: table.shards.get(state, 0) for state in SHARD_STATES},
        "dead_letters": sum(table.dead_letters.values()),
        "records_per_minute": table.records_per_minute,
        "drift": {name: drifted.met for name, drifted in table.drift.items()},
        "drift_seen": {name: _drifted(drifted) for name, drifted in table.drift.items()},
        "snapshot": None if table.snapshot is None else snapshot_document(table.snapshot),
        "reason": table.reason,
        "remedy": table.remedy,
        "gaps": [_gap(gap) for gap in table.gaps],
        "newest_dead_letter": _letter(table.newest_dead_letter)
        if table.newest_dead_letter
        else None,
        "last_applied_at": table.last_applied_at.isoformat() if table.last_applied_at else None,
        "verified": _verified(table),
    }


def _drifted(drifted: Drifted) -> dict[str, Any]:
    return {"types": list(drifted.types), "first_seen": drifted.first_seen.isoformat()}


def _verified(table: TableStatus) -> dict[str, Any] | None:
    if table.verified is None:
        return None
    return {
        "seconds_ago": table.verified_seconds_ago,
        "unequal": table.verified.unequal,
        "in_flight": table.verified.in_flight,
        "sample": table.verified.sample,
    }
