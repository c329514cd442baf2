"""Progress of a table's changes to the target, assembled from all workers' reports. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from replicator.core.status.worker_report import (
    Failure,
    LateShard,
    TableReport,
    WorkerReport,
)
from replicator.core.stream.lag import ShardProgress
from replicator.core.stream.listing_interval import LISTING_SECONDS, listing_seconds_max
from replicator.core.stream.shard_lineage import (
    CHILDREN_APPEAR_WITHIN,
    ShardName,
    is_ready,
)
from replicator.core.stream.table_and_shard_facts import ShardFacts, TableFacts

HEAD_PROOF = timedelta(seconds=90)
"""Time for which a shard counts as at the head after an answer that said so, while reads succeed.

The control schema is told of a head every 30 s, and a pause between two reads may last 60 s.
"""
TOLD_SECONDS = 15.0
"""Time for which a worker's word counts for the shards' heads, given every few seconds."""
NOTED_SECONDS = 30.0
"""Delay with which a shard's row may tell of a read."""
READ_SECONDS = 20.0
READ_POLLS = 3
"""A shard is read if the last answer is no older than so many seconds and pauses between polls."""

Aged = tuple[float, str, str | None, LateShard | None]
"""For how long a shard or segment stands, the name, the owner, and the owner's report of that."""


@dataclass(frozen=True, slots=True)
class Told:
    """The report of a worker that lives, and the age of that report."""

    worker_id: str
    report: WorkerReport
    seconds: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Shards that do not move: how many, and of the worst which, for how long, and why."""

    count: int
    seconds: float
    shard_id: str
    owner: str | None = None
    failure: str | None = None
    remedy: str | None = None
    told_seconds: float | None = None
    """Age of the owner's word, which `seconds` include; None: rows tell it, and no worker."""


@dataclass(frozen=True, slots=True)
class TableProgress:
    """The links of the chain from the source to the target, as ages in seconds; None: no proof.

    `told_seconds`, `looked_seconds`, `listed_seconds`: since the newest word, poll of the leases
    and listing of the source by a worker that lives, has the table and the registered mapping.
    """

    revision: int = 1
    told_seconds: float | None = None
    looked_seconds: float | None = None
    look_failure: str | None = None
    look_remedy: str | None = None
    listed_seconds: float | None = None
    listed_seconds_max: float = LISTING_SECONDS
    listing_failure: str | None = None
    listing_remedy: str | None = None
    strangers: tuple[tuple[str, int | None], ...] = ()
    """Living workers with another mapping of the table, and the mapping's number."""
    elsewhere: tuple[str, ...] = ()
    """Living workers that work and do not have the table."""
    starting: tuple[str, ...] = ()
    """Living workers that have not had a look yet."""
    silent: tuple[str, ...] = ()
    """Living workers that do not tell, or not what is understood here."""
    polled_seconds: float | None = None
    """Seconds since the newest poll on record of a shard that has an owner, whether the owner is
    known to live or not."""
    read_seconds_max: float = READ_SECONDS + READ_POLLS
    open_shards: int = 0
    """Shards of the current stream that are not finished."""
    unowned: Standing | None = None
    unread: Standing | None = None
    uncommitted: Standing | None = None
    ends: Standing | None = None
    """Shards that ended, and of which no child is known."""
    unread_segment: Standing | None = None
    uncommitted_segment: Standing | None = None
    """Segments of the snapshot under way that do not move, as the workers tell."""


def aged(proof: TableProgress, seconds: float) -> TableProgress:
    """The proof so much later, when nothing more was heard."""

    def older(age: float | None) -> float | None:
        return None if age is None else age + seconds

    def standing(each: Standing | None) -> Standing | None:
        if each is None:
            return None
        told = older(each.told_seconds)
        return replace(each, seconds=each.seconds + seconds, told_seconds=told)

    return replace(
        proof,
        told_seconds=older(proof.told_seconds),
        looked_seconds=older(proof.looked_seconds),
        listed_seconds=older(proof.listed_seconds),
        polled_seconds=older(proof.polled_seconds),
        unowned=standing(proof.unowned),
        unread=standing(proof.unread),
        uncommitted=standing(proof.uncommitted),
        ends=standing(proof.ends),
        unread_segment=standing(proof.unread_segment),
        uncommitted_segment=standing(proof.uncommitted_segment),
    )


class TableWitness:
    """Reports of living workers on one table and each shard."""

    def __init__(
        self,
        facts: TableFacts,
        known: Mapping[ShardName, ShardFacts],
        told: Iterable[Told],
        silent: tuple[str, ...],
        *,
        now: datetime,
        followed: Collection[ShardName] = (),
    ) -> None:
        """`followed`: finished shards that have a child, whether or not it is among the `known`."""
        self._facts = facts
        self._followed = followed
        self._known = known
        self._told = list(told)
        self._silent = silent
        self._now = now
        self._ours: dict[str, tuple[Told, TableReport]] = {
            each.worker_id: (each, table)
            for each in self._told
            if (table := each.report.tables.get(facts.source)) is not None
            and table.fingerprint == facts.mapping_fingerprint
        }
        self._late: dict[str, dict[ShardName, LateShard]] = {
            worker: {(late.stream_arn, late.shard_id): late for late in table.late}
            for worker, (_, table) in self._ours.items()
        }

    def progress(self, shard: ShardFacts) -> ShardProgress:
        """Progress of an unfinished shard, and the proof."""
        base = shard.safe_at or shard.found_at
        late = self._late.get(shard.owner or "", {}).get((shard.stream_arn, shard.shard_id))
        if late is not None and late.pending_seconds is not None and late.pending_at is not None:
            base = max(base, late.pending_at)
        at_head = (
            late is None
            and self._vouched(shard.owner)
            and shard.head_at is not None
            and shard.head_at == shard.safe_at
            and self._now - shard.head_at < HEAD_PROOF
        )
        return ShardProgress(base, at_head, shard.polled_at)

    @cached_property
    def open_ends(self) -> list[ShardFacts]:
        """Shards of the current stream that ended, and of which a child may not be known.

        A look at the source a minute later shows every child; where no shard is unfinished at
        all, the stream has one that is not known, whatever was checked.
        """
        arn = self._facts.stream_arn
        current = [s for s in self._known.values() if s.stream_arn == arn]
        parents = {parent for shard in current for parent in shard.parents}
        childless = [
            shard
            for shard in current
            if shard.finished
            and shard.shard_id not in parents
            and (shard.stream_arn, shard.shard_id) not in self._followed
        ]
        if current and all(shard.finished for shard in current):
            return childless
        seconds, _ = self._listed()
        listed_at = None if seconds is None else self._now - timedelta(seconds=seconds)
        return [
            shard
            for shard in childless
            if shard.done_at is not None
            and (listed_at is None or listed_at < shard.done_at + CHILDREN_APPEAR_WITHIN)
        ]

    def proof(self) -> TableProgress:
        """Every link of the chain."""
        facts = self._facts
        listed_seconds, listing = self._listed()
        looked_seconds, look = self._looked()
        unfinished = [shard for shard in self._known.values() if not shard.finished]
        ready = [shard for shard in unfinished if is_ready(shard, self._known)]
        return TableProgress(
            revision=facts.mapping_revision,
            told_seconds=min((told.seconds for told, _ in self._ours.values()), default=None),
            looked_seconds=looked_seconds,
            look_failure=None if look is None else look.what,
            look_remedy=None if look is None else look.remedy,
            listed_seconds=listed_seconds,
            listed_seconds_max=listing_seconds_max(self._listing_seconds()),
            listing_failure=None if listing is None else listing.what,
            listing_remedy=None if listing is None else listing.remedy,
            strangers=tuple(
                (told.worker_id, table.revision)
                for told in self._told
                if (table := told.report.tables.get(facts.source)) is not None
                and told.worker_id not in self._ours
            ),
            elsewhere=tuple(
                told.worker_id
                for told in self._told
                if facts.source not in told.report.tables and told.report.looked_seconds is not None
            ),
            starting=tuple(
                told.worker_id for told in self._told if told.report.looked_seconds is None
            ),
            silent=self._silent,
            polled_seconds=min(
                (
                    max(0.0, (self._now - shard.polled_at).total_seconds())
                    for shard in unfinished
                    if shard.owner is not None and shard.polled_at is not None
                ),
                default=None,
            ),
            read_seconds_max=READ_SECONDS + READ_POLLS * self._idle_seconds_max(),
            open_shards=sum(shard.stream_arn == facts.stream_arn for shard in unfinished),
            unowned=_worst(
                (self._ready_seconds(shard), shard.shard_id, shard.owner, None)
                for shard in ready
                if shard.owner not in self._ours
            ),
            unread=self._worst_told(
                self._read(shard, self._ours[shard.owner])
                for shard in ready
                if shard.owner in self._ours and not self._waits_for_commit(shard)
            ),
            uncommitted=self._worst_told(self._pending(ready)),
            unread_segment=self._worst_told(
                (segment.read_seconds + told.seconds, segment.shard_id, told.worker_id, segment)
                for told, segment in self._late_segments()
                if segment.pending_seconds is None
            ),
            uncommitted_segment=self._worst_told(
                (segment.pending_seconds + told.seconds, segment.shard_id, told.worker_id, segment)
                for told, segment in self._late_segments()
                if segment.pending_seconds is not None
            ),
            ends=self._ends(),
        )

    def _worst_told(self, each: Iterable[Aged]) -> Standing | None:
        """The worst of what workers tell, with the age of the owner's word."""
        worst = _worst(each)
        if worst is None or worst.owner not in self._ours:
            return worst
        return replace(worst, told_seconds=self._ours[worst.owner][0].seconds)

    def _ends(self) -> Standing | None:
        """The ends without a known child; with the failure of the listing that would show it."""
        worst = _worst(
            (self._ended_seconds(shard), shard.shard_id, shard.owner, None)
            for shard in self.open_ends
        )
        _, failed = self._listed()
        if worst is None or failed is None:
            return worst
        return replace(worst, failure=failed.what, remedy=failed.remedy)

    def _vouched(self, owner: str | None) -> bool:
        ours = self._ours.get(owner or "")
        return ours is not None and ours[0].seconds < TOLD_SECONDS

    def _idle_seconds_max(self) -> float:
        return max((told.report.idle_seconds_max for told, _ in self._ours.values()), default=1.0)

    def _listing_seconds(self) -> float:
        """The longest pause between two listings of a stream, of any worker."""
        return max((told.report.listing_seconds for told, _ in self._ours.values()), default=0.0)

    def _listed(self) -> tuple[float | None, Failure | None]:
        """The age of the newest listing, and the failure of a later one."""
        return _newest(
            (told.seconds, table.listed_seconds, _of_listings(table.failures))
            for told, table in self._ours.values()
        )

    def _looked(self) -> tuple[float | None, Failure | None]:
        """The age of the newest poll of leases and tables, and the failure of a later one.

        A failure before a worker's last look is over, whether that worker has the table or not.
        """
        return _newest(
            (
                told.seconds,
                told.report.looked_seconds if told.worker_id in self._ours else None,
                _since(told.report.looked_seconds, told.report.failures.values()),
            )
            for told in self._told
        )

    def _ready_seconds(self, shard: ShardFacts) -> float:
        """Seconds for which a worker could have read a shard that nobody reads."""
        parents = [self._known.get((shard.stream_arn, parent)) for parent in shard.parents]
        instants = (
            shard.found_at,
            shard.polled_at,
            shard.gap_accepted_at,
            *(parent.done_at for parent in parents if parent is not None),
        )
        since = max(instant for instant in instants if instant is not None)
        return max(0.0, (self._now - since).total_seconds())

    def _waits_for_commit(self, shard: ShardFacts) -> bool:
        """True when the next read waits for records that were read: then the source is not slow."""
        late = self._late[shard.owner or ""].get((shard.stream_arn, shard.shard_id))
        return late is not None and late.pending_seconds is not None and not late.read_failed

    def _ended_seconds(self, shard: ShardFacts) -> float:
        return max(0.0, (self._now - (shard.done_at or self._now)).total_seconds())

    def _read(self, shard: ShardFacts, owner: tuple[Told, TableReport]) -> Aged:
        """The age of the last read by the owner; by the row, where that age is greater.

        A row tells late, but is the only witness of a shard that the owner has forgotten.
        """
        told, table = owner
        late = self._late[told.worker_id].get((shard.stream_arn, shard.shard_id))
        noted_within = NOTED_SECONDS + READ_SECONDS + READ_POLLS * told.report.idle_seconds_max
        if told.seconds > TOLD_SECONDS:  # the row is as old as the owner's word
            noted_within += told.seconds
        by_owner = late.read_seconds if late is not None else table.read_seconds
        polled_at = shard.polled_at
        noted = polled_at is not None and (self._now - polled_at).total_seconds() <= noted_within
        if by_owner is None or not noted:
            by_row = self._ready_seconds(shard)
            if by_owner is None or by_row > noted_within:
                return by_row, shard.shard_id, shard.owner, late
        return by_owner + told.seconds, shard.shard_id, shard.owner, late

    def _late_segments(self) -> Iterable[tuple[Told, LateShard]]:
        for told, table in self._ours.values():
            for segment in table.late_parts:
                yield told, segment

    def _pending(self, ready: Iterable[ShardFacts]) -> Iterable[Aged]:
        for shard in ready:
            if shard.owner not in self._ours:
                continue
            late = self._late[shard.owner].get((shard.stream_arn, shard.shard_id))
            if late is not None and late.pending_seconds is not None:
                seconds = late.pending_seconds + self._ours[shard.owner][0].seconds
                yield seconds, shard.shard_id, shard.owner, late


def _of_listings(failures: Mapping[str, Failure]) -> Iterable[Failure]:
    return [failure for task, failure in failures.items() if task.startswith("discover")]


def _since(seconds: float | None, failures: Iterable[Failure]) -> Iterable[Failure]:
    """The failures after a success that was so long ago; None: all of them."""
    return [each for each in failures if seconds is None or each.seconds < seconds]


def _newest(
    told: Iterable[tuple[float, float | None, Iterable[Failure]]],
) -> tuple[float | None, Failure | None]:
    """The age of the newest success, and the newest failure where that is newer still: an older
    one explains nothing. Given are the age of each worker's word, and what that says.
    """
    successes: list[float] = []
    failures: list[Failure] = []
    for ago, seconds, failed in told:
        if seconds is not None:
            successes.append(seconds + ago)
        failures += [replace(failure, seconds=failure.seconds + ago) for failure in failed]
    success = min(successes, default=None)
    failure = min(failures, key=lambda each: each.seconds, default=None)
    if failure is not None and success is not None and success < failure.seconds:
        return success, None
    return success, failure


def _worst(each: Iterable[Aged]) -> Standing | None:
    found = sorted(each, key=lambda one: one[0], reverse=True)
    if not found:
        return None
    seconds, shard_id, owner, late = found[0]
    return Standing(
        count=len(found),
        seconds=seconds,
        shard_id=shard_id,
        owner=owner,
        failure=None if late is None else late.failure,
        remedy=None if late is None else late.remedy,
    )
