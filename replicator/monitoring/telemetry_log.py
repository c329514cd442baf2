"""Turns telemetry events into log lines: which ones, at which level, how often."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, assert_never

import structlog

from replicator.clock import Clock
from replicator.core.telemetry_events import (
    BatchApplied,
    ChangesSuperseded,
    ClaimSwitched,
    ExportRefused,
    GapFound,
    LeaseLapsed,
    LeaseReleased,
    LeaseTaken,
    MappingSuperseded,
    OrderUndecided,
    PublishingUnwatched,
    ReadFailed,
    ReadRecovered,
    RecordRejected,
    RecordsRepeated,
    SegmentEnded,
    ShardClaimed,
    ShardEnded,
    SnapshotBegun,
    SnapshotEnded,
    SnapshotProgressed,
    SourceAnswered,
    StreamMoved,
    SweepRefused,
    TableHalted,
    TableTakenUp,
    TaskFailed,
    TaskRecovered,
    TaskStuck,
    TelemetryEvent,
    WriteBlocked,
    WriteFenced,
)
from replicator.errors import Disposition, ReplicatorError, SourceDenied
from replicator.monitoring.exception_redaction import fingerprint, one_line
from replicator.monitoring.log_output import is_told, logger

SnapshotStep = (
    SnapshotBegun | SnapshotProgressed | SegmentEnded | SweepRefused | ExportRefused | SnapshotEnded
)


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
                return "info", "segment of a snapshot scanned", fields
            return "info", "stale rows of a target deleted", fields | {"target": target}
        case SweepRefused(table=table, snapshot_id=number, detail=detail):
            fields = {"table": table, "snapshot": number, "detail": detail}
            remedy = f"replicator snapshot --table {table} --cancel, or --force"
            return "error", "deletion of stale rows waits for a person", fields | {"remedy": remedy}
        case ExportRefused(table=table, snapshot_id=number, detail=detail):
            fields = {"table": table, "snapshot": number, "detail": detail}
            remedy = f"replicator snapshot --table {table} --cancel, or give another export"
            return "error", "export refused until a person decides", fields | {"remedy": remedy}
        case SnapshotEnded(table=table, snapshot_id=number, items=items, swept=swept):
            fields = {"table": table, "snapshot": number, "items": items, "swept": swept}
            return "info", "snapshot ended", fields
        case _:
            assert_never(step)


TICK_SECONDS = 1.0
SOURCE_REMEDY = "it is tried again; if it lasts, see docs/runbook.md#dynamodb-does-not-answer"
FAILED_READS_SAID = 3
"""Failures in a row that are logged: fewer are a hiccup, as AWS answers one call of many with a
fault of its own."""

_Level = Literal["debug", "info", "warning", "error"]
_OfShard = (
    BatchApplied
    | RecordsRepeated
    | RecordRejected
    | ShardClaimed
    | ShardEnded
    | WriteFenced
    | ClaimSwitched
    | LeaseTaken
    | LeaseLapsed
    | LeaseReleased
    | GapFound
    | ReadFailed
    | WriteBlocked
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line to be written. Lines with the same `repeats` are one problem that goes on."""

    level: _Level
    event: str
    fields: Mapping[str, object]
    repeats: tuple[str, ...] | None = None
    who: str = ""
    """Tasks and shards with the problem, which is over when none is left."""
    error: BaseException | None = None
    """Written with the traceback."""


@dataclass(slots=True)
class _RepeatedLine:
    began_at: float
    said_at: float
    table: object
    unsaid: int = 0
    newest: Line | None = None
    who: set[str] = field(default_factory=set)


class TelemetryLog:
    """Writes telemetry events as lines.

    What repeats itself is written at once and then once a minute, with `repeated` for the lines
    left out, however many shards report it: an outage of ten minutes is ten lines for a table.
    When the last shard or task that reported it works again, `recovered` says so.
    `tick` is to be called again and again: what was counted is not said long afterwards.
    """

    def __init__(
        self, clock: Clock, *, repeat_seconds: float = 60.0, troubles_max: int = 256
    ) -> None:
        self._clock = clock
        self._log: structlog.stdlib.BoundLogger = logger()
        self._repeat_seconds = repeat_seconds
        self._troubles_max = troubles_max
        self._troubles: OrderedDict[tuple[str, ...], _RepeatedLine] = OrderedDict()
        self._look_again_at = 0.0

    def observe(self, event: TelemetryEvent) -> None:
        """Write the fact, count it for later, or say nothing."""
        now = self._clock.monotonic()
        self.tick()
        match event:
            case TaskRecovered(table=table, task=who) | ReadRecovered(table=table, shard_id=who):
                self._recover(table, who, now)
            case BatchApplied(table=table, shard_id=shard_id) if self._troubles:
                self._recover(table, f"shard {shard_id}", now)
            case _:
                pass
        line = line_of(event)
        if line is None:
            return
        if line.repeats is None:
            self._write(line)
        else:
            self._write_or_count(line, line.repeats, now)

    def tick(self) -> None:
        """Write the counts of a minute ago; forget problems that no task has reported since."""
        now = self._clock.monotonic()
        if now < self._look_again_at:
            return
        self._look_again_at = now + TICK_SECONDS
        due = [
            key
            for key, trouble in self._troubles.items()
            if now - trouble.said_at >= self._repeat_seconds
        ]
        for key in due:
            trouble = self._troubles[key]
            if trouble.unsaid:
                self._say(trouble)
                trouble.said_at = now
            else:
                del self._troubles[key]

    def close(self) -> None:
        """Write what was counted and not yet said."""
        for trouble in self._troubles.values():
            self._say(trouble)
        self._troubles.clear()

    def _write_or_count(self, line: Line, key: tuple[str, ...], now: float) -> None:
        trouble = self._troubles.get(key)
        if trouble is None:
            while len(self._troubles) >= self._troubles_max:
                self._say(self._troubles.popitem(last=False)[1])
            trouble = self._troubles[key] = _RepeatedLine(now, now, line.fields.get("table"))
            trouble.who.update({line.who} - {""})
            self._write(line)
            return
        trouble.who.update({line.who} - {""})
        trouble.unsaid += 1
        trouble.newest = line
        if now - trouble.said_at >= self._repeat_seconds:
            self._say(trouble)
            trouble.said_at = now

    def _recover(self, table: str | None, who: str, now: float) -> None:
        """End the problems of a task or shard; say so where it was the last one to have them."""
        for key, trouble in list(self._troubles.items()):
            if trouble.table != table or who not in trouble.who:
                continue
            trouble.who.discard(who)
            if not trouble.who:
                self._say(trouble)
                del self._troubles[key]
                after = round(now - trouble.began_at, 1)
                self._write(
                    Line(
                        "info",
                        "recovered",
                        {"table": table, "task": who, "from": key[-1], "after_seconds": after},
                    )
                )

    def _say(self, trouble: _RepeatedLine) -> None:
        if trouble.newest is not None:
            self._write(trouble.newest, repeated=trouble.unsaid)
        trouble.unsaid, trouble.newest = 0, None

    def _write(self, line: Line, *, repeated: int = 0) -> None:
        if line.level == "debug" and not is_told("debug"):
            return  # one for each batch: to make the logger for it costs as much as to plan a row
        fields = dict(line.fields)
        if repeated:
            fields["repeated"] = repeated
        if line.error is not None:
            fields["exc_info"] = line.error
        getattr(self._log, line.level)(line.event, **fields)


def line_of(event: TelemetryEvent) -> Line | None:  # noqa: C901, PLR0912 (one arm for each fact)
    """The line that a fact is worth, never with a value of an item."""
    match event:
        case BatchApplied() as batch:
            counts = {f"{event}_{outcome}": n for (event, outcome), n in batch.records.items()}
            rows, seconds = sum(batch.rows.values()), round(batch.apply_seconds, 4)
            return Line("debug", "batch applied", _of(batch, rows=rows, seconds=seconds, **counts))
        case RecordsRepeated(events=events) as repeated:
            return Line(
                "debug", "records delivered again", _of(repeated, count=sum(events.values()))
            )
        case ChangesSuperseded() as away:
            return _turned_away(away)
        case StreamMoved(table=table, detail=detail):
            moved: dict[str, object] = {"table": table, "detail": detail}
            return Line("info", "table moved to another stream", moved)
        case PublishingUnwatched(table=table, seconds=seconds):
            text = "nobody saw whether the table published its changes meanwhile"
            unwatched: dict[str, object] = {"table": table, "seconds": round(seconds)}
            unwatched["remedy"] = "see docs/operations/kinesis.md#when-nobody-looks"
            return Line("warning", text, unwatched)
        case OrderUndecided(table=table, changes=changes):
            text = "changes of one item and one time, and nothing tells which was the later"
            fields: dict[str, object] = {"table": table, "changes": changes}
            fields["remedy"] = "see docs/operations/kinesis.md#ties"
            return Line("warning", text, fields, repeats=("undecided", table))
        case RecordRejected() as rejected:
            return _rejection(rejected)
        case ShardClaimed(epoch=epoch, position=position, rewound=rewound) as claim:
            fields = _of(claim, epoch=epoch, position=None if position is None else str(position))
            if rewound:
                text = "shard claimed; PostgreSQL is behind the checkpoint and wins"
                return Line("warning", text, fields)
            return Line("info", "shard claimed", fields)
        case ShardEnded(children=children) as end:
            return Line("info", "shard ended", _of(end, children=list(children)))
        case WriteFenced() as fenced:
            text = "batch refused, another worker claimed the shard; nothing was written"
            return Line("warning", text, _of(fenced))
        case ClaimSwitched() as switched:
            text = "the table was reconfigured; its shard is claimed again, nothing was written"
            return Line("info", text, _of(switched))
        case LeaseTaken(previous_owner=owner) as taken:
            return Line("info", "lease taken", _of(taken, previous_owner=owner))
        case LeaseLapsed() as lost:
            return Line("info", "lease lost", _of(lost))
        case LeaseReleased() as released:
            return Line("info", "lease released", _of(released))
        case GapFound(kind=kind, detail=detail, remedy=remedy) as gap:
            return Line("error", "gap found", _of(gap, kind=kind, detail=detail, remedy=remedy))
        case TableHalted(table=table, reason=reason, remedy=remedy):
            halt = {"table": table, "reason": reason, "remedy": remedy}
            return Line("error", "table halted", halt)
        case ReadFailed() as unread:
            return _unread(unread)
        case WriteBlocked() as blocked:
            return _blocked(blocked)
        case MappingSuperseded(table=table):
            remedy = "restart this worker with the configuration that was migrated last"
            text = "the registered mapping is another than this worker's, which leaves the table"
            return Line("warning", text, {"table": table, "remedy": remedy})
        case TableTakenUp(table=table):
            return Line("info", "table taken up", {"table": table})
        case TaskRecovered() | ReadRecovered():
            return None  # said where the problem was
        case SourceAnswered(operation=operation, outcome=outcome):
            if outcome == "ok":
                return None
            return Line("debug", "AWS refused", {"operation": operation, "outcome": outcome})
        case TaskFailed() as failed:
            return _failure(failed)
        case (
            SnapshotBegun()
            | SnapshotProgressed()
            | SegmentEnded()
            | SweepRefused()
            | ExportRefused()
            | SnapshotEnded()
        ):
            return Line(*snapshot_line(event))
        case TaskStuck() as stuck:
            return _stuck(stuck)
        case _:
            assert_never(event)


def _of(event: _OfShard, **fields: object) -> dict[str, object]:
    return {"table": event.table, "shard_id": event.shard_id, **fields}


def _rejection(rejected: RecordRejected) -> Line:
    number = str(rejected.letter_id)  # longer than what JSON readers keep exact
    fields = _of(rejected, target=rejected.target, sequence_number=number, reason=rejected.reason)
    same = ("rejected", rejected.table, rejected.target, rejected.reason)
    return Line("warning", "record rejected, kept as a dead letter", fields, repeats=same)


def _turned_away(away: ChangesSuperseded) -> Line:
    """Older and repeated changes are what the guard is for; a newer one is not."""
    fields: dict[str, object] = {"table": away.table}
    fields.update(away.reasons.items())
    if not away.reasons.get("suspicious"):
        return Line("debug", "changes superseded at the row guard", fields)
    text = "changes were superseded at the row guard that look newer than what their rows hold"
    fields["remedy"] = "see docs/runbook.md#replicatorguardrejections"
    return Line("error", text, fields, repeats=("suspicious", away.table))


def _stuck(stuck: TaskStuck) -> Line:
    silent_seconds = round(stuck.silent_seconds, 1)
    fields = {"task": stuck.task, "table": stuck.table, "silent_seconds": silent_seconds}
    if stuck.cancelled:
        return Line("warning", "task made no progress and is started again", fields)
    return Line("error", "task made no progress and cannot be ended", fields)


def _failure(failed: TaskFailed) -> Line:
    """The line for a failure; only an unforeseen one shows the origin."""
    error = failed.error
    fields: dict[str, object] = {
        "task": failed.task,
        "table": failed.table,
        "error": one_line(error),
        "retry_seconds": round(failed.retry_seconds, 1),
    }
    same = ("failed", failed.table or "", fingerprint(error))
    who = failed.task
    if not isinstance(error, ReplicatorError):
        text = "task failed unexpectedly"
        return Line("error", text, fields, repeats=same, who=who, error=error)
    if error.remedy:
        fields["remedy"] = error.remedy
    expected = error.disposition in {Disposition.RETRY, Disposition.RELEASE}
    return Line("warning" if expected else "error", "task failed", fields, repeats=same, who=who)


def _unread(unread: ReadFailed) -> Line:
    """A refusal is said at once, a fault that the next attempt may fix when it goes on."""
    error = unread.error
    fields = _of(unread, error=one_line(error))
    fields["remedy"] = getattr(error, "remedy", None) or SOURCE_REMEDY
    if unread.attempts < FAILED_READS_SAID and not isinstance(error, SourceDenied):
        return Line("debug", "read failed", fields)
    same = ("unread", unread.table, fingerprint(error))
    return Line("warning", "the source cannot be read", fields, repeats=same, who=unread.shard_id)


def _blocked(blocked: WriteBlocked) -> Line:
    """Over with the shard's next batch."""
    error = blocked.error
    fields = _of(blocked, error=one_line(error), remedy=getattr(error, "remedy", None))
    same, who = ("blocked", blocked.table, fingerprint(error)), f"shard {blocked.shard_id}"
    return Line("warning", "the target is locked", fields, repeats=same, who=who)
