"""What a table's stream looks like now, added to what is known; nothing known is ever dropped."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from replicator.clock import Clock
from replicator.core.lineage import forgettable_shards, in_order, unknown_shards
from replicator.core.mapping_spec import TableSpec
from replicator.core.observations import GapFound, Observe
from replicator.core.shards import ListedShard, ShardFacts, TableFacts
from replicator.engine.ports import Incidents, Leases, Positions, Source
from replicator.errors import (
    PositionLost,
    SourceUnavailable,
    StreamUnfit,
    StreamVanished,
)

DescribeStream = Callable[[], Awaitable[tuple[str, datetime]]]
"""The ARN and the creation time of the table's newest stream; StreamUnfit, StreamVanished."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the control schema knows of one table."""

    table: TableFacts
    shards: dict[str, ShardFacts]
    """Those of the newest stream, by id."""
    older: tuple[ShardFacts, ...]
    """Those of earlier streams."""


class Discovery:
    """Finds streams and shards of one table."""

    def __init__(
        self,
        spec: TableSpec,
        *,
        describe_stream: DescribeStream,
        source: Source,
        positions: Positions,
        incidents: Incidents,
        leases: Leases,
        observe: Observe,
        clock: Clock,
    ) -> None:
        self._spec = spec
        self._describe_stream = describe_stream
        self._source = source
        self._positions = positions
        self._incidents = incidents
        self._leases = leases
        self._observe = observe
        self._clock = clock

    async def discover(self, known: Known) -> None:
        """Add what the source shows now: a start instant, a new stream, new shards.

        StreamUnfit and StreamVanished only when nothing of the old stream is left to read;
        PositionLost when the control schema has lost a shard whose lease holds a position.
        """
        try:
            arn, created_at = await self._describe_stream()
        except (StreamUnfit, StreamVanished):
            if not await self._drains(known):
                raise
            return
        if known.table.start_at is None:
            await self._positions.start(
                self._spec.name, initial_load=self._spec.initial_load, at=self._clock.now()
            )
        old_arn, shards = known.table.stream_arn, known.shards
        if old_arn != arn:
            if old_arn is not None and not await self._is_over(old_arn, shards.values()):
                arn = old_arn
            else:
                await self._start_stream(known, arn, created_at)
                shards = {}
        checkpoints = {lease.key: lease.checkpoint for lease in await self._leases.all()}
        async for page in self._source.listed_shards(arn):
            await self._add(arn, page, shards, checkpoints)

    async def forget_finished(self, known: Known) -> None:
        """Drop rows and leases of shards that ended two days ago and whose children went on."""
        shards = (*known.shards.values(), *known.older)
        for shard in forgettable_shards(shards, self._clock.now()):
            await self._leases.delete(self._leases.key(shard.stream_arn, shard.shard_id))
            await self._positions.forget_shard(shard.stream_arn, shard.shard_id)

    async def add_children(self, stream_arn: str, shard_id: str) -> tuple[str, ...]:
        """Make the children of an ended shard known; none, where the source does not tell yet.

        The next discovery finds those: a child of a finished parent may start whenever it appears.
        """
        children: list[ListedShard] = []
        try:
            children = await self._source.children(stream_arn, shard_id)
            if not children:
                async for page in self._source.listed_shards(stream_arn):
                    children += [shard for shard in page if shard.parent_id == shard_id]
        except (SourceUnavailable, StreamVanished):
            pass  # what is not known now is found later
        if children:
            await self._positions.add_shards(self._spec.name, stream_arn, children)
        return tuple(child.shard_id for child in children)

    async def _add(
        self,
        arn: str,
        page: list[ListedShard],
        known: dict[str, ShardFacts],
        checkpoints: dict[str, str],
    ) -> None:
        new = in_order(unknown_shards(page, known))
        lost = [
            shard.shard_id
            for shard in new
            if shard.shard_id not in known
            and checkpoints.get(self._leases.key(arn, shard.shard_id), "").isdigit()
        ]
        if lost:
            message = (
                f"the control schema knows nothing of shard {lost[0]}, but its lease holds a "
                "position: this database is not the one that was written before"
            )
            raise PositionLost(
                message,
                remedy=f"connect the right database, or run `replicator forget --table "
                f"{self._spec.name}` and `replicator migrate` to start anew",
            )
        if new:
            await self._positions.add_shards(self._spec.name, arn, new)

    async def _drains(self, known: Known) -> bool:
        """Whether an old stream still holds what we have not read; its table may be gone."""
        arn = known.table.stream_arn
        return arn is not None and not await self._is_over(arn, known.shards.values())

    async def _is_over(self, stream_arn: str, shards: Iterable[ShardFacts]) -> bool:
        """A stream is over when all its shards are read, or when the source has dropped it."""
        if all(shard.finished for shard in shards):
            return True
        return not await self._still_readable(stream_arn)

    async def _start_stream(self, known: Known, arn: str, created_at: datetime) -> None:
        """Start a generation; changes made between it and the one before are a gap."""
        name = self._spec.name
        if known.table.stream_arn is None:
            await self._positions.add_generation(name, arn, label_at=created_at)
            return
        drained = all(shard.finished for shard in known.shards.values())
        await self._positions.close_generations(name, newest=arn, drained=drained)
        await self._positions.add_generation(name, arn, label_at=created_at)
        detail = (
            f"the table has a new stream ({arn}): changes made while it had none, or before "
            "the table was created anew, are in neither stream"
        )
        found = await self._incidents.add_gap(name, arn, None, kind="possible", detail=detail)
        if found is not None:
            remedy = f"replicator gaps accept --table {name}"
            self._observe(GapFound(name, None, "possible", detail, remedy))

    async def _still_readable(self, stream_arn: str) -> bool:
        try:
            async for _ in self._source.listed_shards(stream_arn):
                return True
        except (StreamVanished, StreamUnfit):
            return False
        return False
