"""Lists a table's streams and shards, and adds them to the record; no known shard is dropped."""

import asyncio
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass
from datetime import datetime

from replicator.clock import Clock
from replicator.core.stream.gap_proof import how_to_mend
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.shard_lineage import (
    FINISHED_SHARDS_KEPT,
    ShardName,
    forgettable_shards,
    in_order,
    lost_shards,
    unknown_shards,
)
from replicator.core.stream.source_kind import (
    KINESIS,
    is_created_again,
    is_read_from,
    kind_of,
)
from replicator.core.stream.table_and_shard_facts import (
    ListedShard,
    ShardFacts,
    StreamOver,
    TableFacts,
    ToldByStream,
)
from replicator.core.table_spec import TableSpec
from replicator.core.telemetry_events import GapFound, Observe, PublishingUnwatched, StreamMoved
from replicator.engine.ports import GapsAndHalts, Leases, Moves, ShardStore, Source
from replicator.errors import (
    NotPublished,
    PositionLost,
    SourceUnavailable,
    StreamUnfit,
    StreamVanished,
)


@dataclass(frozen=True, slots=True)
class NewestStream:
    """The newest stream of a table: the ARN, and the time at which the stream began.

    `table_created_at`: time of the table's creation, where a table that was created again goes on
    with the same stream; else None. `told`: facts that the stream tells of itself, if any.
    """

    arn: str
    began_at: datetime
    table_created_at: datetime | None = None
    told: ToldByStream | None = None


DescribeStream = Callable[[], Awaitable[NewestStream]]
"""The table's newest stream; StreamUnfit, StreamVanished, NotPublished."""

NoteStream = Callable[[str, ToldByStream | None], Awaitable[None]]
"""Notes the facts that a stream has told of itself; None: it is asked for its retention alone, as
nobody knows whether it is the stream on record. SourceUnavailable, StreamVanished."""

NOT_IN_STREAM = "changes made meanwhile are in no stream"
NO_REMOVALS = (
    "no stream tells of the items that went with the one before, nor of changes made until the new "
    "one published to the stream"
)
UNWATCHED_SECONDS_MAX = 300.0
"""Switching a destination off and on again takes minutes: workers look far more often."""


CHILDREN_PAGES_MAX = 10
"""Pages of a listing that are read for the children of one shard, where the source tells of none.

A large stream ends with thousands of shards without children, and one worker lists the whole stream
anyway.
"""
CHILDREN_SECONDS_MAX = 20.0
"""Seconds that the end of a shard waits for its children to be told: the calls may have to wait for
their turns behind hundreds of others."""


class ShardDiscovery:
    """Finds streams and shards of one table."""

    def __init__(
        self,
        spec: TableSpec,
        *,
        describe_stream: DescribeStream,
        source: Source,
        positions: ShardStore,
        gaps_and_halts: GapsAndHalts,
        moves: Moves,
        leases: Leases,
        observe: Observe,
        clock: Clock,
        note_stream: NoteStream | None = None,
    ) -> None:
        self._spec = spec
        self._describe_stream = describe_stream
        self._source = source
        self._positions = positions
        self._gaps_and_halts = gaps_and_halts
        self._moves = moves
        self._note_stream = note_stream
        self._leases = leases
        self._observe = observe
        self._clock = clock

    async def discover(
        self, table: TableFacts, *, first: bool, paged: Callable[[], None]
    ) -> frozenset[ShardName]:
        """Add what the source shows now: a start instant, a new stream, new shards. Returns the
        listing.

        `first`: no shard of the table's stream is on record. `paged` hears of each page.
        StreamUnfit and StreamVanished only when nothing of the old stream is left to read;
        NotPublished while the changes reach no stream, after what the last one holds is on record;
        PositionLost when the control schema has lost a shard that has a lease with a position.
        """
        arn, told, unpublished = await self._stream_to_read(table)
        if table.start_at is None:
            await self._positions.start(
                self._spec.name, initial_load=self._spec.initial_load, at=self._clock.now()
            )
        listed: set[ShardName] = set()
        first = first or arn != table.stream_arn
        try:
            if self._note_stream is not None:
                await self._note_stream(arn, told)
            async for page in self._source.listed_shards(arn, first=first):
                listed.update((arn, shard.shard_id) for shard in page)
                await self._add(arn, page, listed)
                paged()
        except StreamVanished as error:
            if unpublished is not None:
                raise unpublished from error
            message = "the stream has gone since the table was described"
            raise SourceUnavailable(message) from error
        if unpublished is not None:
            raise unpublished
        return frozenset(listed)

    async def forget_finished(self, listed: Container[ShardName]) -> None:
        """Drop rows and leases of unlisted shards that ended long ago and have children that went
        on.

        Dead letters that were closed longer ago than dead letters are kept are dropped, too.
        """
        now = self._clock.now()
        shards = await self._positions.ended_before(self._spec.name, now - FINISHED_SHARDS_KEPT)
        for shard in forgettable_shards(shards, now, listed):
            await self._leases.delete(self._leases.key(shard.stream_arn, shard.shard_id))
            await self._positions.forget_shard(shard.stream_arn, shard.shard_id)
        await self._gaps_and_halts.forget_dead_letters(
            self._spec.name, retention_days=self._spec.dead_letter_retention_days
        )

    async def add_children(self, stream_arn: str, shard_id: str) -> tuple[str, ...]:
        """Make the children of an ended shard known, as far as the source tells of children.

        The next discovery finds the others: a child of a finished parent may start whenever it
        appears.
        """
        children: list[ListedShard] = []
        try:
            async with asyncio.timeout(CHILDREN_SECONDS_MAX):
                children = await self._source.children(stream_arn, shard_id)
                if not children:
                    children = await self._listed_children(stream_arn, shard_id)
        except (SourceUnavailable, StreamVanished, TimeoutError):
            pass  # what is not known now is found later
        if children:
            await self._positions.add_shards(
                self._spec.name, stream_arn, children, beside={shard_id}
            )
        return tuple(child.shard_id for child in children)

    async def _listed_children(self, stream_arn: str, shard_id: str) -> list[ListedShard]:
        children: list[ListedShard] = []
        pages = 0
        async for page in self._source.listed_shards(stream_arn):
            children += [shard for shard in page if shard_id in shard.parents]
            pages += 1
            if pages == CHILDREN_PAGES_MAX:
                break
        return children

    async def _add(self, arn: str, page: list[ListedShard], listed: set[ShardName]) -> None:
        """Add a page of a listing; `listed`: all shards so far, the page's included."""
        known = await self._known(arn, page)
        new = in_order(unknown_shards(page, known))
        if not new:
            return
        leases = await self._leases.some([self._leases.key(arn, s.shard_id) for s in new])
        begun = {lease.key for lease in leases if lease.checkpoint.isdigit()}
        ids = {shard.shard_id for shard in new if self._leases.key(arn, shard.shard_id) in begun}
        if lost_shards(new, known, ids):  # what we know may be older than what the leases say
            known = await self._known(arn, page)
            new = in_order(unknown_shards(page, known))
        lost = lost_shards(new, known, ids)
        if lost:
            message = (
                f"the control schema knows nothing of shard {lost[0]}, but its lease holds a "
                "position: this database is not the one that was written before"
            )
            raise PositionLost(
                message,
                remedy=f"connect the right database, or run `replicator forget --table "
                f"{self._spec.name}` and `replicator migrate` to start again",
            )
        if new:
            parents = {parent for shard in new for parent in shard.parents}
            parents -= {shard.shard_id for shard in new}
            added = {name for name in parents if name in known or (arn, name) in listed}
            await self._positions.add_shards(self._spec.name, arn, new, beside=added)

    async def _known(self, arn: str, page: list[ListedShard]) -> dict[str, ShardFacts]:
        """The shards of a page and their parents that are on record, by id."""
        names = {name for shard in page for name in (shard.shard_id, *shard.parents)}
        shards = await self._positions.shards_named(arn, names)
        return {shard.shard_id: shard for shard in shards}

    async def _known_now(self, arn: str) -> dict[str, ShardFacts]:
        shards = await self._positions.shards([self._spec.name])
        return {shard.shard_id: shard for shard in shards if shard.stream_arn == arn}

    async def _stream_to_read(
        self, table: TableFacts
    ) -> tuple[str, ToldByStream | None, NotPublished | None]:
        """The newest stream, as soon as nothing is left to read of the one before; the facts that
        it has told; and why nothing new comes into it.

        A stream of another source than the configured one is left at once.
        """
        current = table.stream_arn
        moves = current is not None and not is_read_from(current, self._spec.kinesis)
        try:
            newest = await self._describe_stream()
        except (StreamUnfit, StreamVanished, NotPublished) as error:
            if current is None or moves:
                raise
            if kind_of(current) is KINESIS:
                why = NotPublished(f"{error}: {NOT_IN_STREAM}", remedy=error.remedy)
                await self._stop_for_break(current, str(why))
                return current, None, why
            if await self._ended(current):
                raise
            return current, None, None
        if kind_of(newest.arn) is KINESIS:
            published = newest.arn if current is None or moves else current
            ended = await self._gaps_and_halts.end_break(table.source, published)
            unwatched = (table.listed_seconds or 0) > UNWATCHED_SECONDS_MAX
            if newest.arn == current and unwatched and not ended:
                self._observe(PublishingUnwatched(table.source, table.listed_seconds or 0))
        arn = await self._begun_stream(current, newest, moves=moves)
        return arn, newest.told if arn == newest.arn else None, None

    async def _begun_stream(self, current: str | None, newest: NewestStream, *, moves: bool) -> str:
        """The newest stream, begun, or the current one while that is to be read."""
        arn, created_at = newest.arn, newest.began_at
        if current is not None and moves:
            name = self._spec.name
            told = await self._moves.move(name, before=current, stream_arn=arn, at=created_at)
            if told is not None:
                self._observe(StreamMoved(name, told))
            return arn
        if current is None:
            await self._start_stream(arn, created_at, after=StreamOver(None))
            return arn
        if arn == current and newest.table_created_at is not None:
            at = newest.table_created_at
            detail = f"the table was created again at {at:%Y-%m-%d %H:%M:%S}: {NO_REMOVALS}"
            await self._stop_for_break(current, detail, table_created_at=at)
        if is_created_again(arn, current):  # the shards that the source lists are of the new one
            await self._start_stream(arn, created_at, after=StreamOver(current))
            return arn
        over = await self._ended(current) if arn != current else None
        if over is None:
            return current
        await self._start_stream(arn, created_at, after=over)
        return arn

    async def _stop_for_break(
        self, current: str, detail: str, *, table_created_at: datetime | None = None
    ) -> None:
        """Record a gap of changes that never reached the stream, where it is not known yet."""
        name = self._spec.name
        if await self._gaps_and_halts.add_break(
            name, current, detail=detail, created_at=table_created_at
        ):
            self._observe(
                GapFound(name, None, "possible", detail, how_to_mend(name, OrderingMode.GUARD))
            )

    async def _ended(self, stream_arn: str) -> StreamOver | None:
        """A stream is over when all the shards are read, or when the source has dropped it."""
        shards = await self._known_now(stream_arn)
        try:
            async for page in self._source.listed_shards(stream_arn):
                if unknown_shards(page, shards):
                    return None
        except (StreamVanished, StreamUnfit):
            return StreamOver(stream_arn)
        finished = all(shard.finished for shard in shards.values())
        return StreamOver(stream_arn, frozenset(shards)) if finished else None

    async def _start_stream(self, arn: str, created_at: datetime, *, after: StreamOver) -> None:
        """Start a generation; changes made between the one before and this generation are a gap.

        A stream that is older than the one before stays aside until that gap is accepted.
        """
        name, kind = self._spec.name, kind_of(arn)
        detail = (
            f"the table has a new stream ({arn}): changes made while it had none, or before "
            "the table was created again, are in neither stream"
            if kind is not KINESIS
            else f"the Kinesis stream was created again at {created_at:%Y-%m-%d %H:%M:%S}: "
            "what the one before still held, and changes made while there was none, are in neither"
        )
        told = await self._gaps_and_halts.start_stream(
            name, arn, label_at=created_at, detail=detail, after=after
        )
        if told is not None:
            remedy = how_to_mend(name, kind.resting_ordering)
            self._observe(GapFound(name, None, "possible", told, remedy))
