"""Runtime state of one source table: the parts that work on the table, and the facts last read."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.snapshot.snapshot_state import SegmentFacts, SnapshotFacts, is_initial_due
from replicator.core.stream.shard_lineage import (
    Ends,
    ShardName,
    by_name,
    ends_of,
    expected_load,
    ready_shards,
)
from replicator.core.stream.source_kind import is_read_from
from replicator.core.stream.table_and_shard_facts import Belief, PolledShard, ShardFacts, TableFacts
from replicator.engine.ports import Source
from replicator.engine.snapshot.segment_load import SnapshotParts
from replicator.engine.snapshot.snapshot_lifecycle import SnapshotLifecycle
from replicator.engine.stream.page_budget import PageSlots
from replicator.engine.stream.plan_and_apply_batch import BatchPipeline
from replicator.engine.stream.read_and_commit_progress import ReadAndCommitProgress
from replicator.engine.stream.shard_discovery import ShardDiscovery
from replicator.engine.stream.shard_replicator import Ending


class Runner(Protocol):
    """Works on one thing that is leased: a shard, or a segment of a snapshot."""

    alive_at: float
    """Monotonic time of the last sign of life."""

    @property
    def read_progress(self) -> ReadAndCommitProgress:
        """Proof of work on the shard or segment."""
        ...

    async def run(self, stopping: asyncio.Event) -> Ending:
        """Work to the end, or until asked to stop."""
        ...


@dataclass(frozen=True, slots=True)
class Unit:
    """Something that is leased to one worker at a time: a shard, or a segment of a snapshot."""

    key: str
    """Key of its lease."""
    table: str
    stream_arn: str
    name: str
    owner: str | None
    """The worker that has the claim."""
    load: float = 0.0
    """Records a minute, averaged; 0 for a segment."""
    shard: PolledShard | None = None
    """None for a segment."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The limits of one worker."""

    worker_id: str
    version: str
    lease_seconds: float
    idle_seconds_max: float
    discover_seconds: float = 30.0

    @property
    def plan_seconds(self) -> float:
        """Seconds between two plans of leases."""
        return min(5.0, self.lease_seconds / 4)


@dataclass(slots=True)
class Running:
    """A task of the worker."""

    runner: Runner
    task: asyncio.Task[None]
    stopping: asyncio.Event
    kept: bool = False
    """True when the lease is kept as the task ends: work begins again, with another mapping."""


@dataclass(slots=True)
class Table:
    """A configured table that is fit to run."""

    name: str
    mapping: TableMapping
    source: Source
    discovery: ShardDiscovery
    pipeline: BatchPipeline
    loading: SnapshotLifecycle
    parts: SnapshotParts
    room: PageSlots
    facts: TableFacts | None = None
    shards: tuple[PolledShard, ...] = ()
    ends: Ends[PolledShard] = field(default_factory=lambda: Ends((), ()))
    """The shards that have ended, by what is known of their children."""
    snapshots: tuple[SnapshotFacts, ...] = ()
    begun_at: float | None = None
    """Monotonic time at which the worker first knew of the table's state."""
    over_since: float | None = None
    """Monotonic time at which all the shards were first seen to have ended; None: some have not."""
    listed_at: float | None = None
    """Monotonic time at which the last listing of the source began, of any worker, of which every
    shard is on record."""
    listing_failed_at: float | None = None
    """Monotonic time at which this worker's last listing of the source began, where it failed."""
    _known: dict[ShardName, PolledShard] = field(default_factory=dict)
    """The shards that the units were derived from."""
    _units: dict[str, Unit] = field(default_factory=dict)
    """Units of the shards that may be claimed, by the keys of their leases."""
    _unread: list[PolledShard] = field(default_factory=list)
    """Those of the shards that may be claimed that nobody has read."""
    revision: int | None = None
    """The number of the worker's mapping at its last registration; None: never registered."""

    def continues(self, former: "Table") -> None:
        """Take over what the worker knows of the table, which has another mapping now."""
        self.facts, self.shards, self.snapshots = former.facts, former.shards, former.snapshots
        self.ends = former.ends
        self.begun_at, self.over_since = former.begun_at, former.over_since
        self.listed_at, self.revision = former.listed_at, former.revision
        self.listing_failed_at = former.listing_failed_at

    @property
    def working(self) -> bool:
        """True when the worker may work on the table's shards now."""
        return self.facts is not None and not self.facts.stopped and not self.superseded

    @property
    def superseded(self) -> bool:
        """True when the registered mapping is another one: the worker must begin again with it."""
        return self.facts is not None and self.facts.mapping_fingerprint != self.mapping.fingerprint

    @property
    def polled(self) -> bool:
        """True when workers read the table's stream; tables of AWS Lambda only have their
        snapshots here.
        """
        return self.mapping.spec.poller == "daemon"

    @property
    def may_load(self) -> bool:
        """True when the steps of the table's snapshots may be taken now."""
        return self.working and (self.discovered or not self.polled)

    @property
    def discovered(self) -> bool:
        """True when the source was listed since the worker knows the table."""
        return _is_before(self.begun_at, self.listed_at)

    @property
    def listing_fails(self) -> bool:
        """True when this worker could not list the source, and no worker has since."""
        failed_at = self.listing_failed_at
        return failed_at is not None and not _is_before(failed_at, self.listed_at)

    @property
    def discovered_over(self) -> bool:
        """True when the source was listed since all shards had ended: a new stream may follow."""
        return _is_before(self.over_since, self.listed_at)

    def refreshed(self, now: float) -> None:
        """Derive the ends of shards and the times from the facts that were just read.

        `now`: the monotonic time before they were read.
        """
        self.ends = ends_of(self.shards)
        if self.begun_at is None:
            self.begun_at = now
        seconds = None if self.facts is None else self.facts.listed_seconds
        self.listed_at = None if seconds is None else now - seconds
        if not self.over:
            self.over_since = None
        elif self.over_since is None:
            self.over_since = now

    def ready_parts(self) -> dict[str, SegmentFacts]:
        """The segments of the snapshot under way that may be claimed now, by the names."""
        if not self.working:
            return {}
        ready = [part for snapshot in self.snapshots for part in snapshot.ready()]
        return {part.name: part for part in ready}

    def ready_units(self, key: Callable[[str, str], str]) -> dict[str, Unit]:
        """The shards and segments that may be leased now, by the keys of their leases.

        `key`: of a stream and a name. The unit of an unchanged shard stays the same object: most of
        ten thousand are unchanged at every look.
        """
        if not (self.working and self.polled):
            self._known, self._units, self._unread = {}, {}, []
        elif (changed := self._changed_shards()) is None:
            self._derive_units(key)
        else:
            self._replace_units(changed, key)
        units = dict(self._units)
        for name, part in self.ready_parts().items():
            unit = Unit(key(self.stream_arn, name), self.name, self.stream_arn, name, part.owner)
            units[unit.key] = unit
        return units

    def _changed_shards(self) -> list[PolledShard] | None:
        """The shards whose owners or loads have changed since the last look.

        None where anything else has changed, by which shards become ready or are not any more.
        """
        if len(self.shards) != len(self._known):
            return None
        same = set(map(id, self._known.values()))
        changed = [shard for shard in self.shards if id(shard) not in same]
        for shard in changed:
            before = self._known.get((shard.stream_arn, shard.shard_id))
            if before is None or _lineage_of(before) != _lineage_of(shard):
                return None
        return changed

    def _derive_units(self, key: Callable[[str, str], str]) -> None:
        """Derive the units of all shards that may be claimed now."""
        self._known = known = by_name(self.shards)
        kinesis = self.mapping.spec.kinesis  # until a move is on record nobody reads
        read = {arn for arn in {arn for arn, _ in known} if is_read_from(arn, kinesis)}
        ready = [shard for shard in ready_shards(known) if shard.stream_arn in read]
        units = [self._unit(shard, key) for shard in ready]
        self._units = {unit.key: unit for unit in units}
        self._unread = [shard for shard in ready if shard.load is None]

    def _replace_units(
        self, changed: Collection[PolledShard], key: Callable[[str, str], str]
    ) -> None:
        """Replace the units of changed shards, and of those whose parents' loads may have."""
        for shard in changed:
            self._known[shard.stream_arn, shard.shard_id] = shard
        unread = [self._known[shard.stream_arn, shard.shard_id] for shard in self._unread]
        for shard in (*changed, *unread):
            unit = self._unit(shard, key)
            if unit.key in self._units:
                self._units[unit.key] = unit
        self._unread = [shard for shard in unread if shard.load is None]

    def _unit(self, shard: PolledShard, key: Callable[[str, str], str]) -> Unit:
        return Unit(
            key(shard.stream_arn, shard.shard_id),
            self.name,
            shard.stream_arn,
            shard.shard_id,
            shard.owner,
            expected_load(shard, self._known),
            shard,
        )

    def parts_over(self) -> list[str]:
        """The names of the segments of snapshots that are over."""
        over = [snapshot for snapshot in self.snapshots if not snapshot.unfinished]
        return [part.name for snapshot in over for part in snapshot.segments]

    @property
    def stream_arn(self) -> str:
        """The stream beside which the snapshots run."""
        return (self.facts.stream_arn if self.facts is not None else None) or ""

    @property
    def awaits_listing(self) -> bool:
        """True while no shard of the current stream is on record: it has just become that one."""
        return self.working and self.polled and self.stream_arn != "" and self.unlisted

    @property
    def unlisted(self) -> bool:
        """True while no shard of the current stream is on record."""
        return not any(shard.stream_arn == self.stream_arn for shard in self.shards)

    @property
    def over(self) -> bool:
        """True when every shard on record has ended."""
        return all(shard.finished for shard in self.shards)

    @property
    def _heals(self) -> bool:
        """True when the configuration says how the gap that stops the table is healed."""
        facts = self.facts
        if facts is None or facts.paused or facts.halted:
            return False
        return bool(facts.gaps) and self.mapping.spec.on_gap != "stop"

    @property
    def loads(self) -> bool:
        """True when a snapshot is due or running, and no person must decide first."""
        if self.facts is None or is_initial_due(self.facts, self.snapshots):
            return True
        return any(snapshot.state in ("asked", "running") for snapshot in self.snapshots)

    def is_caught_up(self, at: datetime, shards: Collection[ShardFacts]) -> bool:
        """True when every change created before `at` is applied, as far as workers can apply it.

        `shards`: those of the table's last refresh, with how far each is applied. Had another
        reading seen the last of them end, `over` would not know that a new stream may follow.
        """
        if self.facts is None:
            return True  # somebody has forgotten it: nothing can be done for it
        if not self.working:
            return not self._heals
        if self.polled and not (self.discovered and shards):
            return False
        if not self.polled:
            return not self.loads
        if self.loads or (self.over and not self.discovered_over):
            return False
        return all(
            shard.finished or (shard.safe_at is not None and shard.safe_at >= at)
            for shard in shards
        )

    @property
    def belief(self) -> Belief:
        """State of the table as the worker knows it, for a halt that must not outlive that
        state.
        """
        stream_arn = None if self.facts is None else self.facts.stream_arn
        return Belief(stream_arn, self.mapping.fingerprint)


def _is_before(earlier: float | None, later: float | None) -> bool:
    return earlier is not None and later is not None and earlier <= later


def _lineage_of(shard: PolledShard) -> tuple[object, ...]:
    """The facts of a shard by which it and its children become ready."""
    return shard.state, shard.parent_id, shard.adjacent_parent_id, shard.gap_accepted_at
