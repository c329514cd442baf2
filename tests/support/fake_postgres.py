"""PostgreSQL in memory: the control schema, target rows, and every statement as one atomic step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.mapping.item_keys import item_key_json
from replicator.core.planning.row_guard import Applied, GuardRejection
from replicator.core.planning.write_plan import TargetWrites, WritePlan
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream.order_by_time import later
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.shard_load import ShardLoad
from replicator.core.stream.stream_generations import TIMES, generation
from replicator.core.stream.table_and_shard_facts import (
    GapFacts,
    PolledShard,
    ShardFacts,
    ShardRowState,
    parents_of,
)
from replicator.core.stream_record import Position, Version
from replicator.core.table_spec import InitialLoad
from replicator.errors import BatchRejected, BatchTooSlow, Fenced, NotClaimable, PositionLost

if TYPE_CHECKING:
    from replicator.core.telemetry_events import GuardReason, Operation

ShardName = tuple[str, str]
Row = tuple[Any, ...]
Rows = dict[str, dict[Row, Row]]
LetterKey = tuple[str, str, int, str]
"""Stream ARN, item key, sequence number, target."""


class Clock(Protocol):
    def now(self) -> datetime: ...


SHARD_FIELDS = tuple(ShardFacts.__dataclass_fields__)


@dataclass(slots=True)
class ShardRow:
    """A row of the shard table."""

    source: str
    stream_arn: str
    shard_id: str
    parent_id: str | None
    listed: bool
    found_at: datetime
    state: ShardRowState = "waiting"
    epoch: int = 0
    claimed_epoch: int | None = None
    claim_id: UUID | None = None
    owner: str | None = None
    position: Position | None = None
    known: Position | None = None
    safe_at: datetime | None = None
    head_at: datetime | None = None
    polled_at: datetime | None = None
    gap_accepted_at: datetime | None = None
    done_at: datetime | None = None
    adjacent_parent_id: str | None = None
    load: float | None = None
    _facts: ShardFacts | None = field(default=None, init=False, repr=False, compare=False)
    _polled: PolledShard | None = field(default=None, init=False, repr=False, compare=False)
    _stale: bool = field(default=True, init=False, repr=False, compare=False)

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        object.__setattr__(self, "_facts", None)
        object.__setattr__(self, "_stale", True)

    @property
    def name(self) -> ShardName:
        return self.stream_arn, self.shard_id

    @property
    def open(self) -> bool:
        return self.state in ("waiting", "active")

    @property
    def finished(self) -> bool:
        return self.state == "done" or (self.state == "gap" and self.gap_accepted_at is not None)

    def facts(self) -> ShardFacts:
        """The facts of now: many workers read the same ten thousand rows, again and again."""
        if self._facts is None:
            facts = ShardFacts(*[getattr(self, name) for name in SHARD_FIELDS])
            object.__setattr__(self, "_facts", facts)
            return facts
        return self._facts

    def polled(self) -> PolledShard:
        """As workers poll it: the object stays while it is the same."""
        if self._stale or self._polled is None:
            polled = PolledShard(
                self.source,
                self.stream_arn,
                self.shard_id,
                self.parent_id,
                self.adjacent_parent_id,
                self.state,
                self.owner,
                self.gap_accepted_at,
                self.done_at,
                None if self.load is None else float(f"{self.load:.1e}"),
            )
            if polled != self._polled:
                object.__setattr__(self, "_polled", polled)
            object.__setattr__(self, "_stale", False)
            return self._polled or polled
        return self._polled


@dataclass(slots=True)
class TableRow:
    """A row of the table_state table."""

    source: str
    mapping_fingerprint: str
    stream_arn: str | None = None
    ordering: OrderingMode = OrderingMode.FENCE
    initial_load: InitialLoad | None = None
    start_at: datetime | None = None
    paused: bool = False
    halted: bool = False
    reason: str | None = None
    remedy: str | None = None
    snapshot_id: int | None = None
    mapping_revision: int = 1


TABLE_FIELDS = tuple(TableRow.__dataclass_fields__)


@dataclass(slots=True)
class GapRow:
    """A row of the gap table."""

    facts: GapFacts
    state: str = "open"
    makes_current: bool = False


@dataclass(slots=True)
class LetterRow:
    """A row of the dead_letter table."""

    source: str
    shard_id: str
    item_key: str
    reason: str
    sqlstate: str | None
    state: str
    of_history: bool = False


@dataclass(slots=True)
class ListingRow:
    """A row of the listing table."""

    by: str | None
    begun_at: datetime
    heard_at: datetime
    listed_at: datetime | None = None
    calls: int = 1


@dataclass(slots=True)
class WorkerRow:
    """A row of the worker table."""

    seen_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    beat: int | None = None
    asked: int = 0
    load: float | None = None


@dataclass(slots=True)
class Data:
    """All that the server has on disk: what a failover brings back as it was."""

    tables: dict[str, TableRow] = field(default_factory=dict)
    shards: dict[ShardName, ShardRow] = field(default_factory=dict)
    polled: dict[str, dict[ShardName, ShardRow]] = field(default_factory=dict)
    """Those that are not known to have ended long ago, by table."""
    generations: dict[tuple[str, str], datetime] = field(default_factory=dict)
    gaps: list[GapRow] = field(default_factory=list)
    letters: dict[LetterKey, LetterRow] = field(default_factory=dict)
    workers: dict[str, WorkerRow] = field(default_factory=dict)
    listings: dict[str, ListingRow] = field(default_factory=dict)
    describe_turns: list[datetime] = field(default_factory=list)
    rows: Rows = field(default_factory=dict)
    versions: dict[tuple[str, Row], tuple[int, int]] = field(default_factory=dict)
    forgotten: set[ShardName] = field(default_factory=set)
    """Shards whose rows were cleaned away: all of them counts as applied, for who looks on."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A batch that was committed: what the invariants look at."""

    claim: Claim
    advance: Advance
    plan: WritePlan


class FakePostgres:
    """One server. `refuses` says why a row of a target is not taken; `on_commit` sees batches.

    A part of the fence may be taken away (`fence`), to see what notices.
    """

    def __init__(self, clock: Clock) -> None:
        self.data = Data()
        self.clock = clock
        self.refuses: Callable[[str, Row], str | None] = lambda _target, _row: None
        self.batch_rows_max = 10_000
        self.fence = frozenset(("epoch", "claim", "position", "parents"))
        self._claims = 0
        self.on_commit: Callable[[Committed], None] = lambda _: None
        self.on_claim: Callable[[Claim], None] = lambda _: None
        self.on_forget: Callable[[ShardRow], None] = lambda _: None

    def register(self, mapping: TableMapping) -> None:
        """What `migrate` does: a changed mapping raises every epoch."""
        source = mapping.spec.name
        table = self.data.tables.setdefault(source, TableRow(source, mapping.fingerprint))
        if table.mapping_fingerprint != mapping.fingerprint:
            table.mapping_fingerprint = mapping.fingerprint
            table.mapping_revision += 1
            self.raise_epochs(source)
        for target in mapping.targets:
            self.data.rows.setdefault(target.name, {})

    def copy(self) -> Data:
        """A consistent copy, as a standby has it."""
        return copy.deepcopy(self.data)

    def fail_over(self, standby: Data) -> None:
        """The standby takes over: what it has not received is gone, rows and positions alike."""
        self.data = copy.deepcopy(standby)

    def raise_epochs(self, source: str) -> None:
        for shard in self.data.shards.values():
            if shard.source == source and shard.open:
                shard.epoch += 1
                shard.owner = None

    # the fence

    def claim(self, source: str, name: ShardName, fingerprint: str, worker_id: str) -> Claim:
        table = self.data.tables.get(source)
        if table is None:
            message = f"table {source!r} is not registered in the control schema"
            raise PositionLost(message)
        if table.paused or table.halted or self.open_gaps(source):
            message = f"table {source!r} is stopped"
            raise NotClaimable(message)
        if table.ordering.poller == "lambda":
            message = f"table {source!r} is written by AWS Lambda"
            raise NotClaimable(message)
        if table.mapping_fingerprint != fingerprint:
            message = f"table {source!r} is written with another mapping"
            raise NotClaimable(message)
        shard = self.data.shards.get(name)
        if shard is None:
            message = f"the control schema has lost shard {name[1]}"
            raise PositionLost(message)
        parents = self._parents(shard)
        waits = "parents" in self.fence and not all(parent.finished for parent in parents)
        if not shard.open or waits:
            message = f"shard {name[1]} is {shard.state} or waits for its parent"
            raise NotClaimable(message)
        shard.epoch += 1
        shard.claimed_epoch = shard.epoch
        self._claims += 1
        shard.claim_id = UUID(int=self._claims)
        shard.owner = worker_id
        shard.state = "active"
        found_at = shard.found_at
        if parents:
            safe = [parent.safe_at for parent in parents if parent.safe_at is not None]
            inherited = min(safe) if len(safe) == len(parents) else None
            shard.safe_at = shard.safe_at or inherited
            found_at = min(found_at, *(parent.found_at for parent in parents))
        if shard.load is None:
            shard.load = sum(parent.load or 0.0 for parent in parents)
        claim = Claim(
            source=source,
            stream_arn=shard.stream_arn,
            shard_id=shard.shard_id,
            epoch=shard.epoch,
            claim_id=shard.claim_id,
            position=shard.position,
            known=shard.known,
            safe_at=shard.safe_at,
            found_at=found_at,
            gap_accepted_at=shard.gap_accepted_at,
            owed=shard.listed or shard.position is not None,
            ordering=table.ordering,
            skip_before=table.start_at if table.initial_load == "none" else None,
            open_letters=self.open_letters(source) > 0,
            snapshot_id=table.snapshot_id,
            load=ShardLoad(shard.load),
        )
        self.on_claim(claim)
        return claim

    def held_at(self, claim: Claim, position: Position | None) -> ShardRow:
        """The shard's row; Fenced when the claim is over or the shard stands elsewhere."""
        shard = self.held_by(claim)
        if "position" in self.fence and shard.position != position:
            message = f"shard {claim.shard_id} is not where we believe it"
            raise Fenced(message)
        return shard

    def held_by(self, claim: Claim) -> ShardRow:
        """The shard's row; Fenced when the claim is over."""
        shard = self.data.shards.get((claim.stream_arn, claim.shard_id))
        if shard is None or shard.state != "active" or self._is_over(claim, shard):
            message = f"shard {claim.shard_id} was claimed by another worker"
            raise Fenced(message)
        return shard

    def _is_over(self, claim: Claim, shard: ShardRow) -> bool:
        return ("epoch" in self.fence and shard.epoch != claim.epoch) or (
            "claim" in self.fence and shard.claim_id != claim.claim_id
        )

    def _parents(self, shard: ShardRow) -> list[ShardRow]:
        names = [(shard.stream_arn, parent) for parent in parents_of(shard)]
        return [self.data.shards[name] for name in names if name in self.data.shards]

    # batches

    def apply(
        self, plan: WritePlan, claim: Claim, advance: Advance, mapping: TableMapping
    ) -> Applied:
        """The one statement: all of it or, with an exception, nothing."""
        shard = self.held_at(claim, advance.expected)
        self._refuse(plan)
        if claim.open_letters:
            keys = {item_key_json(key, mapping.source_key) for key in plan.item_keys}
            for letter in self.data.letters.values():
                if letter.of_history:
                    continue
                if letter.source == claim.source and letter.item_key in keys:
                    letter.state = "superseded" if letter.state == "open" else letter.state
        counts: dict[tuple[str, Operation], int] = {}
        away: list[GuardRejection] = []
        for writes in plan.writes:
            guarded = claim.ordering.by_versions
            self._write(self._newer(writes, claim, away) if guarded else writes, counts)
            self._append(writes, claim.stream_arn, counts)
        for dead in plan.dead_letters:
            number = dead.record.letter_id
            key = item_key_json(dead.record.keys, mapping.source_key)
            self.data.letters.setdefault(
                (claim.stream_arn, key, number, dead.target),
                LetterRow(
                    claim.source,
                    claim.shard_id,
                    key,
                    dead.reason,
                    dead.sqlstate,
                    "superseded" if dead.superseded else "open",
                    dead.of_history,
                ),
            )
        shard.position = advance.position
        shard.known = max(advance.known, shard.known or advance.known)
        shard.safe_at = latest(shard.safe_at, advance.created_at)
        shard.polled_at = latest(shard.polled_at, advance.polled_at)
        shard.load = advance.load
        self.on_commit(Committed(claim, advance, plan))
        return Applied(counts, tuple(away))

    def refusals(self, plan: WritePlan) -> dict[str, tuple[str, str | None]]:
        found: dict[str, tuple[str, str | None]] = {}
        for writes in plan.writes:
            for row in writes.upserted.rows:
                reason = self.refuses(writes.target.name, row)
                if reason is not None:
                    found[writes.target.name] = reason, "23514"
        return found

    def _refuse(self, plan: WritePlan) -> None:
        rows = [(w.target.name, row) for w in plan.writes for row in w.upserted.rows]
        if len(rows) > self.batch_rows_max:
            message = "the statement timeout ended the batch"
            raise BatchTooSlow(message)
        for target, row in rows:
            reason = self.refuses(target, row)
            if reason is not None:
                raise BatchRejected(reason)

    def _newer(
        self, writes: TargetWrites, claim: Claim, away: list[GuardRejection]
    ) -> TargetWrites:
        """What the row guard lets through; its versions are written."""
        name, width = writes.target.name, len(writes.target.table.key)
        number = generation(claim.stream_arn)
        accepted = TargetWrites(writes.target)
        place = 0
        groups = (
            (writes.upserted, accepted.upserted),
            (writes.deleted, accepted.deleted),
            (writes.softly_deleted, accepted.softly_deleted),
        )
        for given, kept in groups:
            for row, record in zip(given.rows, given.records, strict=True):
                key, version = (name, row[:width]), (number, record.version)
                known = self.data.versions.get(key, (0, 0))
                if is_newer(known, version):
                    self.data.versions[key] = version
                    kept.add(row, record)
                else:
                    reason: GuardReason = "duplicate" if known == version else "older"
                    away.append(GuardRejection(name, place, record, reason))
                place += 1
        return accepted

    def _write(self, writes: TargetWrites, counts: dict[tuple[str, Operation], int]) -> None:
        name, width = writes.target.name, len(writes.target.table.key)
        rows = self.data.rows.setdefault(name, {})
        deleted = [rows.pop(key) for key in writes.deleted.rows if key in rows]
        for *key, at in writes.softly_deleted.rows:
            if tuple(key) in rows:
                rows[tuple(key)] = (*rows[tuple(key)][:-1], at)
        rows.update({row[:width]: row for row in writes.upserted.rows})
        if writes.upserted.rows:
            counts[name, "upsert"] = len(writes.upserted.rows)
        if deleted or writes.softly_deleted.rows:
            counts[name, "delete"] = len(deleted) + len(writes.softly_deleted.rows)

    def _append(
        self, writes: TargetWrites, stream_arn: str, counts: dict[tuple[str, Operation], int]
    ) -> None:
        if writes.target.history is None or not writes.appends:
            return
        rows = self.data.rows.setdefault(writes.target.history, {})
        new = {(stream_arn, row[3], row[0]): row for row in writes.appends}
        counts[writes.target.history, "append"] = len(new.keys() - rows.keys())
        self.data.rows[writes.target.history] = new | rows

    # gaps and halts

    def open_gaps(self, source: str) -> list[GapRow]:
        return [gap for gap in self.data.gaps if gap.facts.source == source and gap.state == "open"]

    def open_letters(self, source: str) -> int:
        letters = self.data.letters.values()
        return sum(letter.source == source and letter.state == "open" for letter in letters)


def is_newer(known: tuple[int, int], version: tuple[int, int]) -> bool:
    """The row guard: of versions with times, those that nothing decides are newer as they come."""
    if version[0] != TIMES or known[0] != TIMES or known == version:
        return known < version
    return later(Version(version[1]), Version(known[1])) is not False


def latest(one: datetime | None, other: datetime | None) -> datetime | None:
    """greatest(): what is null does not count."""
    instants = [instant for instant in (one, other) if instant is not None]
    return max(instants, default=None)
