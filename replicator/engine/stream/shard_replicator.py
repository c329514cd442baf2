"""One shard from claim to end: read, judge, apply, note the position, hand over to the children."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from replicator.clock import Clock
from replicator.core.stream.claims import Claim
from replicator.core.stream.gap_proof import how_to_mend, is_proved_complete, kind_of_gap
from replicator.core.stream.lag import ShardProgress
from replicator.core.stream_record import NOWHERE, Position
from replicator.core.table_spec import TableSpec
from replicator.core.telemetry_events import (
    ClaimSwitched,
    GapFound,
    Observe,
    ReadFailed,
    ReadRecovered,
    RecordsRepeated,
    ShardClaimed,
    ShardEnded,
    WriteFenced,
)
from replicator.engine.dead_letter_limit import check_dead_letters
from replicator.engine.ports import ControlPorts, Source
from replicator.engine.stream.page_budget import PageSlots
from replicator.engine.stream.plan_and_apply_batch import START_MARGIN, Batch, BatchPipeline
from replicator.engine.stream.read_and_commit_progress import ReadAndCommitProgress
from replicator.engine.stream.shard_reader import Answer, ShardReader
from replicator.engine.task_groups import one_failure
from replicator.errors import (
    Fenced,
    IteratorExpired,
    PositionTrimmed,
    ReplicatorError,
    ShardVanished,
)

LOOKED_EVERY = timedelta(seconds=30)
"""Interval at which an idle shard's position in time is stored."""


class Ending(Enum):
    """Reason for which the work on a shard has ended."""

    STOPPED = "stopped"  # asked to
    DONE = "done"  # read to its end, and so committed
    GAP = "gap"  # its table's on_gap decides
    SWITCHED = "switched"  # its table changed mode, mapping or state: to be claimed again


@dataclass(frozen=True, slots=True)
class ShardTask:
    """Facts for working on one shard."""

    table: str
    stream_arn: str
    shard_id: str
    mapping_fingerprint: str
    idle_seconds_max: float
    spec: TableSpec
    checkpointed: Position | None
    """The lease row's checkpoint: a hint, only compared."""


@dataclass(frozen=True, slots=True)
class _PlannedPage:
    """Records that were read, and the plan."""

    answer: Answer
    batches: list[Batch]
    places: int
    """Slots that the page takes of the room for pages."""


async def was_switched(asking: Awaitable[bool]) -> bool:
    """True when a claim ended because the table changed; False when nobody can tell."""
    try:
        return await asking
    except ReplicatorError:
        return False


_Answers = asyncio.Queue[_PlannedPage | ReplicatorError | None]
AddChildren = Callable[[str, str], Awaitable[tuple[str, ...]]]
"""Makes the children of a shard known, before it is marked done; returns the ids."""
Moved = Callable[[Position], None]
"""Called with every new position after the COMMIT."""


@dataclass(frozen=True, slots=True)
class SharedParts:
    """Parts of one table that all of the shards use."""

    source: Source
    pipeline: BatchPipeline
    room: PageSlots
    add_children: AddChildren


class ShardReplicator:
    """Replicates one shard for as long as it holds the claim."""

    def __init__(
        self,
        task: ShardTask,
        *,
        shared: SharedParts,
        control: ControlPorts,
        observe: Observe,
        clock: Clock,
        moved: Moved,
    ) -> None:
        self._task = task
        self._source = shared.source
        self._claims = control.claims
        self._gaps_and_halts = control.gaps_and_halts
        self._pipeline = shared.pipeline
        self._room = shared.room
        self._places = 0
        self._observe = observe
        self._clock = clock
        self._add_children = shared.add_children
        self._moved = moved
        self._looked_at: datetime | None = None
        self._known: Position | None = None
        self._rejected = 0
        self._failed_reads = 0
        """Number of failed reads since the last success."""
        self.alive_at = clock.monotonic()
        """Monotonic time of the last request or transaction."""
        self.progress = ShardProgress(safe_at=None, at_head=False, polled_at=None)
        self.read_progress = ReadAndCommitProgress(self.alive_at)

    async def run(self, stopping: asyncio.Event) -> Ending:
        """Claim the shard and work until the shard's end, or until asked to stop."""
        task = self._task
        self.read_progress.begins()
        claim = await self._claims.claim(
            task.table,
            task.stream_arn,
            task.shard_id,
            mapping_fingerprint=task.mapping_fingerprint,
        )
        rewound = task.checkpointed is not None and task.checkpointed > (claim.position or NOWHERE)
        self._observe(ShardClaimed(task.table, task.shard_id, claim.epoch, claim.position, rewound))
        self._known = claim.known
        self.progress = ShardProgress(claim.safe_at, at_head=False, polled_at=None)
        try:
            return await self._replicate(claim, stopping)
        except Fenced:
            if await was_switched(self._claims.switched(claim)):
                self._observe(ClaimSwitched(task.table, task.shard_id))
                return Ending.SWITCHED
            self._observe(WriteFenced(task.table, task.shard_id))
            raise
        finally:
            self._leave_room(self._places)

    def _live(self) -> None:
        self.alive_at = self._clock.monotonic()

    async def _replicate(self, claim: Claim, stopping: asyncio.Event) -> Ending:
        reader = ShardReader(
            self._source,
            self._clock,
            stream_arn=claim.stream_arn,
            shard_id=claim.shard_id,
            after=claim.position,
            idle_seconds_max=self._task.idle_seconds_max,
            since=None if claim.read_from is None else claim.read_from - START_MARGIN,
            may_read_around=self._may_read_around(claim),
            attempting=self._live,
        )
        answers: _Answers = asyncio.Queue(maxsize=1)
        async with one_failure() as tasks:
            reading = tasks.create_task(
                self._read(reader, claim, answers, stopping), name=f"read {claim.shard_id}"
            )
            try:
                return await self._apply_all(claim, answers, stopping)
            finally:
                reading.cancel()

    async def _read(
        self, reader: ShardReader, claim: Claim, answers: _Answers, stopping: asyncio.Event
    ) -> None:
        """One page ahead of what is applied, planned while PostgreSQL works on the one before.

        A failure waits behind the pages before it.
        """
        ended = False
        while not ended:
            await answers.join()
            try:
                answer, places = await self._next(reader, stopping)
            except ReplicatorError as error:
                await answers.put(error)
                return
            if answer is None:
                await answers.put(None)
                return
            if answer.records:
                self._known = answer.records[-1].position
            ended = answer.ended
            await answers.put(_PlannedPage(answer, self._batches(answer, claim), places))
            del answer  # it is held by who applies it, and not until the next one comes

    async def _next(
        self, reader: ShardReader, stopping: asyncio.Event
    ) -> tuple[Answer | None, int]:
        """The next answer, and the places that are taken for the answer.

        A shard that expects a page waits for room before the request. An idle shard asks without
        room, and so does a shard with a failing source: where there is no room for the answer,
        small or few pages are kept until there is, and other pages go back to the source, so that
        many shards that wake at once do not hold a large page each.
        """
        while True:
            places = await self._take_room(stopping) if reader.expects_more else 0
            answer, places = await self._ask(reader, places, stopping)
            if answer is None or not answer.records:
                self._leave_room(places)
                return answer, 0
            if places or (places := self._took(self._room.take_at_once())):
                return answer, places
            with self._room.kept(answer.size_bytes) as kept:
                if kept:
                    places = await self._take_room(stopping)
                    return (answer, places) if places else (None, 0)
            reader.put_back()
            self.read_progress.put_back()
            del answer  # it waits at the source, not here

    async def _ask(
        self, reader: ShardReader, places: int, stopping: asyncio.Event
    ) -> tuple[Answer | None, int]:
        """Answer of the source, and the places that are left: none is kept while it fails."""

        def failed(error: ReplicatorError) -> None:
            nonlocal places
            self.read_progress.read_failed(error)
            self._leave_room(places)
            places = 0
            if not isinstance(error, IteratorExpired):
                self._failed_reads += 1
                task = self._task
                self._observe(ReadFailed(task.table, task.shard_id, error, self._failed_reads))

        answer = await reader.next(stopping, failed=failed)
        if answer is not None:
            now = self._clock.monotonic()
            self.read_progress.was_read(answer.records, ended=answer.ended, now=now)
        if answer is not None and self._failed_reads:
            self._failed_reads = 0
            self._observe(ReadRecovered(self._task.table, self._task.shard_id))
        return answer, places

    async def _take_room(self, stopping: asyncio.Event) -> int:
        return self._took(await self._room.take(stopping, waiting=self._live))

    def _took(self, taken: bool) -> int:
        self._places += taken
        return int(taken)

    def _leave_room(self, places: int) -> None:
        self._places -= places
        self._room.give_back(places)

    def _batches(self, answer: Answer, claim: Claim) -> list[Batch]:
        """A page in batches as large as they should be now, planned."""
        size = self._pipeline.size.records
        parts = [answer.records[at : at + size] for at in range(0, len(answer.records), size)]
        return [
            self._pipeline.planned(
                Batch(
                    part,
                    part[-1].position,
                    answer.requested_at,
                    attempting=self._live,
                    failed=self.read_progress.apply_failed,
                ),
                claim,
            )
            for part in parts
        ]

    async def _apply_all(self, claim: Claim, answers: _Answers, stopping: asyncio.Event) -> Ending:
        while (page := await answers.get()) is not None:
            answers.task_done()
            if isinstance(page, PositionTrimmed | ShardVanished):
                return await self._lost(claim, str(page))
            if isinstance(page, ReplicatorError):
                raise page
            applied = await self._apply_page(claim, page, stopping)
            del page  # while the next one is waited for, this one's memory is free
            if isinstance(applied, Ending):
                return applied
            claim = applied
        await self._claims.leave(claim)
        return Ending.STOPPED

    async def _apply_page(
        self, claim: Claim, page: _PlannedPage, stopping: asyncio.Event
    ) -> Claim | Ending:
        """The claim behind a page, or the shard's end."""
        answer = page.answer
        if claim.owed and not self._is_complete(claim, answer.answered_at):
            detail = (
                f"the last change that is known to be applied is of {claim.safe_at}: "
                "older than what the stream keeps"
            )
            return await self._lost(claim, detail)
        if answer.repeated:
            events = Counter(record.event for record in answer.repeated)
            self._observe(RecordsRepeated(claim.source, claim.shard_id, events))
        if answer.records:
            claim = await self._apply(claim, page.batches, stopping)
            self.read_progress.committed()
            self._leave_room(page.places)
            self._note(claim, answer, at_head=False)
        elif not answer.ended:
            self.read_progress.nothing_more()
            claim = await self._look(claim, answer)
        self._live()
        return await self._end(claim) if answer.ended else claim

    async def _apply(self, claim: Claim, batches: list[Batch], stopping: asyncio.Event) -> Claim:
        """Commit a page batch by batch."""
        known = self._known or batches[-1].known
        for batch in batches:
            claim = await self._pipeline.process(replace(batch, known=known), claim, stopping)
            self._moved(claim.position or NOWHERE)
            self.read_progress.moved(now=self._clock.monotonic())
        await self._check_dead_letters()
        return claim

    def _may_read_around(self, claim: Claim) -> Callable[[datetime], bool]:
        """A function that tells, for the time of an answer, whether a trimmed position loses
        nothing owed.
        """

        def judge(answered_at: datetime) -> bool:
            return claim.owed and self._is_complete(claim, answered_at)

        return judge

    def _is_complete(self, claim: Claim, answered_at: datetime) -> bool:
        """True if no owed record can have been trimmed before `answered_at` (source clock)."""
        return is_proved_complete(
            answered_at=answered_at,
            safe_at=self.progress.safe_at,
            found_at=claim.found_at,
            accepted_at=claim.gap_accepted_at,
            retention=claim.kept_for,
        )

    async def _look(self, claim: Claim, answer: Answer) -> Claim:
        """An answer without records: at the head, the position in time moves on."""
        head = answer.head_at is not None
        if answer.head_at is not None and (claim.safe_at is None or claim.safe_at < answer.head_at):
            claim = replace(claim, safe_at=answer.head_at)
        newly = head and not self.progress.at_head
        due = self._looked_at is None or answer.requested_at - self._looked_at > LOOKED_EVERY
        if newly or due:
            at = answer.head_at or answer.requested_at
            claim = replace(claim, load=claim.load.after(0, now=self._clock.monotonic()))
            await self._claims.looked(claim, at=at, head=head)
            self._looked_at = answer.requested_at
        self._note(claim, answer, at_head=head or self.progress.at_head)
        return claim

    def _note(self, claim: Claim, answer: Answer, *, at_head: bool) -> None:
        self.progress = ShardProgress(claim.safe_at, at_head, answer.requested_at)

    async def _check_dead_letters(self) -> None:
        if self._pipeline.rejected == self._rejected:
            return
        self._rejected = self._pipeline.rejected
        await check_dead_letters(self._gaps_and_halts, self._task.spec)

    async def _end(self, claim: Claim) -> Ending:
        """Children are known before the shard is done, so that no crash leaves an orphan."""
        children = await self._add_children(claim.stream_arn, claim.shard_id)
        await self._claims.finish(claim, position=claim.position)
        self._observe(ShardEnded(claim.source, claim.shard_id, children))
        return Ending.DONE

    async def _lost(self, claim: Claim, detail: str) -> Ending:
        """Nothing, or not all, of what we owe can be read.

        An acceptance covers what was lost until then, and a day later nothing any more.
        """
        if not claim.owed:
            await self._gaps_and_halts.close_never_owed(claim)
            return Ending.DONE
        if claim.gap_accepted_at is not None and self._is_complete(claim, self._clock.now()):
            await self._gaps_and_halts.close_gone_shard(claim)
            return Ending.DONE
        kind = kind_of_gap(position=claim.position, known=claim.known)
        await self._gaps_and_halts.add_gap(claim, kind=kind, detail=detail)
        remedy = how_to_mend(claim.source, claim.ordering)
        self._observe(GapFound(claim.source, claim.shard_id, kind, detail, remedy))
        return Ending.GAP
