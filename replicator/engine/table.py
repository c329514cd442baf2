"""One source table of a worker: what it needs, and what this worker believes of it."""

from dataclasses import dataclass
from datetime import datetime

from replicator.core.lineage import ready_shards
from replicator.core.mapping import TableMapping
from replicator.core.shards import ShardFacts, TableFacts
from replicator.engine.discovery import Discovery, Known
from replicator.engine.pipeline import Pipeline
from replicator.engine.ports import Source


@dataclass(slots=True)
class Table:
    """A configured table that is fit to run."""

    name: str
    mapping: TableMapping
    source: Source
    discovery: Discovery
    pipeline: Pipeline
    facts: TableFacts | None = None
    shards: tuple[ShardFacts, ...] = ()
    discovered: bool = False
    """Whether the source was listed since this worker started."""

    @property
    def working(self) -> bool:
        """Whether its shards may be worked on by this worker now."""
        return (
            self.facts is not None
            and not self.facts.stopped
            and self.facts.mapping_fingerprint == self.mapping.fingerprint
        )

    def ready(self) -> list[ShardFacts]:
        """The shards that may be claimed now."""
        return ready_shards(self.shards) if self.working else []

    def is_caught_up(self, at: datetime) -> bool:
        """Whether every change created before `at` is applied, as far as it can be."""
        if self.facts is None or not self.discovered or not self.shards:
            return False
        if not self.working:
            return True
        return all(
            shard.finished or (shard.safe_at is not None and shard.safe_at >= at)
            for shard in self.shards
        )

    def known(self) -> Known | None:
        """What discovery starts from; None while the table is not registered."""
        if self.facts is None:
            return None
        newest = self.facts.stream_arn
        return Known(
            self.facts,
            {shard.shard_id: shard for shard in self.shards if shard.stream_arn == newest},
            tuple(shard for shard in self.shards if shard.stream_arn != newest),
        )
