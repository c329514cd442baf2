"""Assembles the status of a deployment from the control schema and from a worker. Pure."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from shlex import quote

from replicator.core.snapshot.snapshot_progress import SnapshotStatus, snapshot_status
from replicator.core.snapshot.snapshot_state import SnapshotFacts, is_initial_due
from replicator.core.status.attribute_drift import Drifted
from replicator.core.status.deployment_status import (
    GapStatus,
    LetterStatus,
    ShardState,
    ShardStatus,
    Status,
    TableState,
    TableStatus,
    WorkerStatus,
)
from replicator.core.status.table_progress import TableProgress, TableWitness, Told
from replicator.core.stream.gap_proof import how_to_mend
from replicator.core.stream.lag import ShardProgress, lag_of, table_lag
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.shard_lineage import ShardName, by_name, is_ready
from replicator.core.stream.table_and_shard_facts import GapFacts, Pause, ShardFacts, TableFacts
from replicator.core.verify.results import Verified

WHY_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Facts from one reading of the control schema.

    `shards`: all that are not done, and of those that are, the ones whose children may not be known
    and the parents of shards that were never read. `ended`: how many shards are done, by table.
    `followed`: of the finished ones among `shards`, those that are known to have a child.
    """

    deployment: str
    tables: Mapping[str, TableFacts]
    shards: Collection[ShardFacts]
    dead_letters: Mapping[str, Mapping[str, int]]
    workers: tuple[WorkerStatus, ...]
    living: Collection[str]
    snapshots: Mapping[str, Sequence[SnapshotFacts]] = field(default_factory=dict)
    newest_letters: Mapping[str, LetterStatus] = field(default_factory=dict)
    applied: Mapping[str, datetime] = field(default_factory=dict)
    drift: Mapping[str, Mapping[str, Drifted]] = field(default_factory=dict)
    throughput: Mapping[str, int] = field(default_factory=dict)
    verified: Mapping[str, Verified] = field(default_factory=dict)
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    ended: Mapping[str, int] = field(default_factory=dict)
    followed: Collection[ShardName] = frozenset()


def overview(knowledge: Knowledge, *, now: datetime) -> Status:
    """The status of a deployment, tables with problems first."""
    shards: dict[str, list[ShardFacts]] = {source: [] for source in knowledge.tables}
    for shard in knowledge.shards:
        shards.setdefault(shard.source, []).append(shard)
    tables = [
        _table(facts, shards[source], knowledge, now) for source, facts in knowledge.tables.items()
    ]
    trouble = {"halted": 0, "gap": 1, "paused": 2}
    tables.sort(key=lambda table: (trouble.get(table.state, 3), table.source))
    return Status(knowledge.deployment, tuple(tables), _workers(knowledge.workers, tables))


def _workers(
    workers: Iterable[WorkerStatus], tables: Iterable[TableStatus]
) -> tuple[WorkerStatus, ...]:
    holds: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for table in tables:
        for shard in table.lineage:
            if shard.state == "active" and shard.owner is not None:
                holds[shard.owner][table.source] += 1
    return tuple(replace(worker, holds=holds.get(worker.id, {})) for worker in workers)


def _table(
    facts: TableFacts, shards: list[ShardFacts], knowledge: Knowledge, now: datetime
) -> TableStatus:
    daemon_reads = facts.ordering.poller == "daemon"
    if not daemon_reads:  # Lambda keeps the position: what the daemon knew is history
        shards = []
    known = by_name(shards)
    witness = _witness(facts, known, knowledge, now)
    progress = {
        name: witness.progress(shard) for name, shard in known.items() if not shard.finished
    }
    lineage = _lineage(known, progress, knowledge.living, now)
    ends = [ShardProgress(end.safe_at or end.found_at, False, None) for end in witness.open_ends]
    lag = table_lag([*progress.values(), *ends], now=now, retention=facts.kept_for)
    proof = witness.proof()
    snapshots = knowledge.snapshots.get(facts.source, ())
    snapshot = _snapshot(snapshots, now)
    if snapshot is not None and facts.stopped:
        snapshot = replace(snapshot, seconds_left=None)  # it does not go on
    reason, remedy = _reason(facts, snapshot, knowledge.pauses.get(facts.source))
    return TableStatus(
        source=facts.source,
        stream_arn=facts.stream_arn,
        state=_table_state(facts, snapshots),
        lag_seconds=lag.lag_seconds if shards else None,  # not listed yet: nothing is known
        retention_headroom_seconds=lag.headroom_seconds,
        poll_age_seconds=_poll_age(lag.poll_age_seconds, proof),
        shards=_counted(lineage, knowledge.ended.get(facts.source, 0) if daemon_reads else 0),
        dead_letters=knowledge.dead_letters.get(facts.source, {}),
        drift=knowledge.drift.get(facts.source, {}),
        records_per_minute=knowledge.throughput.get(facts.source, 0),
        reason=reason,
        remedy=remedy,
        gaps=tuple(_gap(gap, facts.ordering) for gap in facts.gaps),
        snapshot=snapshot,
        newest_dead_letter=knowledge.newest_letters.get(facts.source),
        last_applied_at=knowledge.applied.get(facts.source),
        lineage=lineage,
        verified=knowledge.verified.get(facts.source),
        needs_workers=daemon_reads,
        stopped_seconds=_stopped_seconds(facts, now),
        proof=proof,
        verified_seconds_ago=_seconds_since(knowledge.verified.get(facts.source), now),
    )


def _witness(
    facts: TableFacts, known: Mapping[ShardName, ShardFacts], knowledge: Knowledge, now: datetime
) -> TableWitness:
    living = [worker for worker in knowledge.workers if worker.id in knowledge.living]
    told = [
        Told(worker.id, worker.report, worker.told_seconds_ago)
        for worker in living
        if worker.report is not None and worker.told_seconds_ago is not None
    ]
    silent = tuple(worker.id for worker in living if worker.report is None)
    return TableWitness(facts, known, told, silent, now=now, followed=knowledge.followed)


def _counted(lineage: Iterable[ShardStatus], ended: int) -> Counter[ShardState]:
    counts = Counter(shard.state for shard in lineage)
    if ended:
        counts["done"] += ended
    return counts


def _poll_age(by_rows: float | None, proof: TableProgress) -> float | None:
    """Seconds since the last read of the worst shard; workers tell sooner than rows do."""
    standing = [each.seconds for each in (proof.unread, proof.unowned) if each is not None]
    return max(standing, default=by_rows) if by_rows is not None else None


def _lineage(
    known: Mapping[ShardName, ShardFacts],
    progress: Mapping[ShardName, ShardProgress],
    living: Collection[str],
    now: datetime,
) -> tuple[ShardStatus, ...]:
    return tuple(
        ShardStatus(
            stream_arn=shard.stream_arn,
            shard_id=shard.shard_id,
            parent_id=shard.parent_id,
            state=_state(shard, known, living),
            owner=shard.owner,
            lag_seconds=lag_of(progress[name], now) if name in progress else None,
        )
        for name, shard in known.items()
        if shard.state != "done"
    )


def _gap(gap: GapFacts, ordering: OrderingMode) -> GapStatus:
    remedy = how_to_mend(gap.source, ordering)
    return GapStatus(gap.id, gap.kind, gap.shard_id, gap.detail, gap.found_at, remedy)


def _stopped_seconds(facts: TableFacts, now: datetime) -> float | None:
    """Seconds for which the table has been stopped, by a halt, else by a gap, else by a pause."""
    since = facts.stopped_at
    if not facts.halted:
        since = min((gap.found_at for gap in facts.gaps), default=since)
    return None if since is None else max(0.0, (now - since).total_seconds())


def _seconds_since(verified: Verified | None, now: datetime) -> float | None:
    return None if verified is None else max(0.0, (now - verified.at).total_seconds())


def _snapshot(known: Sequence[SnapshotFacts], now: datetime) -> SnapshotStatus | None:
    """The snapshot that is worked on, else the one that waits, else the last."""
    order = {"running": 0, "refused": 0, "asked": 1}
    chosen = min(known, key=lambda s: (order.get(s.state, 2), -s.id), default=None)
    return None if chosen is None else snapshot_status(chosen, now=now)


def _table_state(facts: TableFacts, snapshots: Sequence[SnapshotFacts]) -> TableState:
    if facts.halted:
        return "halted"
    if facts.gaps:
        return "gap"
    if facts.paused:
        return "paused"
    if facts.stream_arn is None and facts.ordering.poller == "daemon":
        return "snapshot"  # nothing of it was ever read
    loads = facts.snapshot_id is not None or any(each.unfinished for each in snapshots)
    return "snapshot" if loads or is_initial_due(facts, snapshots) else "streaming"


def _state(
    shard: ShardFacts, known: Mapping[ShardName, ShardFacts], living: Collection[str]
) -> ShardState:
    if shard.finished:
        return "done"
    if shard.state == "gap":
        return "gap"
    if shard.owner in living:
        return "active"
    return "unowned" if is_ready(shard, known) else "waiting"


def _reason(
    facts: TableFacts, snapshot: SnapshotStatus | None, pause: Pause | None
) -> tuple[str | None, str | None]:
    if facts.halted:
        return facts.reason, facts.remedy
    if facts.gaps:
        gap = facts.gaps[0]
        where = f"shard {gap.shard_id}: " if gap.shard_id else ""
        return (
            f"{gap.kind} gap, {where}{gap.detail}",
            how_to_mend(gap.source, facts.ordering),
        )
    if facts.paused:
        return _paused(pause), f"replicator resume --table {quote(facts.source)}"
    if snapshot is not None and snapshot.state == "refused":
        if not snapshot.loaded:
            return f"the export cannot be loaded: {snapshot.detail}", (
                f"replicator snapshot --table {quote(facts.source)} --cancel"
            )
        return f"the deletion of stale rows waits for a person: {snapshot.detail}", (
            f"replicator snapshot --table {quote(facts.source)} --cancel (keeps those rows), or "
            f"--force (deletes them)"
        )
    return None, None


def _paused(pause: Pause | None) -> str:
    if pause is None:
        return "paused by hand; nothing is on record of who did it and why"
    if pause.why is None:
        return f"paused by {pause.who}, who gave no reason"
    cut = pause.why[: WHY_LENGTH_MAX - 1] + "…" if len(pause.why) > WHY_LENGTH_MAX else pause.why
    return f"paused by {pause.who}: {cut}"
