"""Finds items with changes in the stream that the target may not hold yet; moves no position."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from replicator.clock import Clock
from replicator.core.mapping.item_keys import item_key_json
from replicator.core.stream_record import Position, StreamRecord
from replicator.core.table_spec import SourceKey
from replicator.engine.ports import ShardStore, Source
from replicator.engine.stream.shard_reader import ShardReader
from replicator.engine.task_groups import one_failure
from replicator.errors import PositionTrimmed, ShardVanished, StreamVanished

READERS_MAX = 8
"""Shards that are read at the same time: the workers read them too."""
IDLE_SECONDS_MAX = 1.0

Note = Callable[[StreamRecord], None]


@dataclass(frozen=True, slots=True)
class Mark:
    """Place in a shard: everything up to `after` is in the target. None: nothing is."""

    stream_arn: str
    shard_id: str
    after: Position | None


@dataclass(frozen=True, slots=True)
class Marks:
    """Places in all unfinished shards; `known` are all shards on record."""

    shards: tuple[Mark, ...]
    known: frozenset[tuple[str, str]]


class PendingChanges:
    """The changes of one table between what is committed and the end of the stream."""

    def __init__(
        self,
        table: str,
        source_key: SourceKey,
        *,
        stream_arn: str | None,
        source: Source,
        positions: ShardStore,
        clock: Clock,
    ) -> None:
        self._table = table
        self._source_key = source_key
        self._stream_arn = stream_arn
        self._source = source
        self._positions = positions
        self._clock = clock

    async def marks(self) -> Marks:
        """The places where the table's shards stand now."""
        shards = await self._positions.shards([self._table])
        known = {(shard.stream_arn, shard.shard_id) for shard in shards}
        unfinished = [
            Mark(shard.stream_arn, shard.shard_id, shard.position)
            for shard in shards
            if not shard.finished
        ]
        others = await self._others(known)
        return Marks((*unfinished, *others), frozenset(known))

    async def touched(
        self, items: Collection[str], marks: Marks, *, seconds_max: float
    ) -> set[str]:
        """The items that have changes behind the marks, read up to now.

        All of them when the end is not reached in time: nothing is known of any.
        """
        found: set[str] = set()

        def note(record: StreamRecord) -> None:
            identity = item_key_json(record.keys, self._source_key)
            if identity in items:
                found.add(identity)

        return found if await self._read_to_end(marks, note, seconds_max) else set(items)

    async def changes(
        self, item: str, marks: Marks, *, seconds_max: float
    ) -> list[StreamRecord] | None:
        """The changes of one item behind the marks; None when the end is not reached in time."""
        found: list[StreamRecord] = []

        def note(record: StreamRecord) -> None:
            if item_key_json(record.keys, self._source_key) == item:
                found.append(record)

        return found if await self._read_to_end(marks, note, seconds_max) else None

    async def _read_to_end(self, marks: Marks, note: Note, seconds_max: float) -> bool:
        known = set(marks.known)
        shards: Sequence[Mark] = marks.shards
        try:
            async with asyncio.timeout(seconds_max):
                while shards:
                    known |= {(mark.stream_arn, mark.shard_id) for mark in shards}
                    await self._read_all(shards, note)
                    shards = await self._others(known)
        except TimeoutError:
            return False
        return True

    async def _others(self, known: Collection[tuple[str, str]]) -> list[Mark]:
        """Shards of the current stream that are not known: children that came since."""
        if self._stream_arn is None:
            return []
        arn = self._stream_arn
        try:
            return [
                Mark(arn, shard.shard_id, None)
                async for page in self._source.listed_shards(arn)
                for shard in page
                if (arn, shard.shard_id) not in known
            ]
        except StreamVanished:
            return []

    async def _read_all(self, marks: Sequence[Mark], note: Note) -> None:
        free = asyncio.Semaphore(READERS_MAX)

        async def read(mark: Mark) -> None:
            async with free:
                await self._read(mark, note)

        async with one_failure() as tasks:
            for mark in marks:
                tasks.create_task(read(mark), name=f"read {mark.shard_id}")

    async def _read(self, mark: Mark, note: Note) -> None:
        until = self._clock.now().timestamp()
        reader = ShardReader(
            self._source,
            self._clock,
            stream_arn=mark.stream_arn,
            shard_id=mark.shard_id,
            after=mark.after,
            idle_seconds_max=IDLE_SECONDS_MAX,
            may_read_around=lambda _: True,
        )
        never = asyncio.Event()
        try:
            while (answer := await reader.next(never)) is not None:
                records = answer.records
                for record in records:
                    note(record)
                behind = records[-1].created_at if records else None
                if answer.ended or answer.head_at or (behind is not None and behind > until):
                    return
        except (PositionTrimmed, ShardVanished, StreamVanished):
            return  # what the stream does not hold will not be applied either
