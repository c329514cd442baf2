"""Refreshes a worker's knowledge of the tables, and takes the steps that need no lease."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TypeVar

from replicator.clock import Clock
from replicator.core.snapshot.snapshot_state import SnapshotOrigin
from replicator.core.stream.table_and_shard_facts import PolledShard, ShardFacts
from replicator.engine.ports import GapsAndHalts, ShardStore, Snapshots
from replicator.engine.task_groups import for_each
from replicator.engine.worker.table_runtime_state import Table

TABLES_AT_ONCE = 8
"""Hundreds of tables that begin their first loads together wait for each other no longer than for
the connections of the pool."""

Shard = TypeVar("Shard", bound=PolledShard)


class TableAdvancer:
    """Refreshes tables from the control schema, and takes the steps that any worker may take."""

    def __init__(
        self,
        positions: ShardStore,
        gaps_and_halts: GapsAndHalts,
        snapshots: Snapshots,
        clock: Clock,
    ) -> None:
        self._positions = positions
        self._gaps_and_halts = gaps_and_halts
        self._snapshots = snapshots
        self._clock = clock

    async def refresh(self, tables: Sequence[Table]) -> None:
        """Read what the control schema knows of the given tables."""
        await self._refresh(tables, self._positions.polled_shards)

    async def refresh_with_positions(self, tables: Sequence[Table]) -> dict[str, list[ShardFacts]]:
        """As `refresh`; returns the shards of each table by name, with the positions.

        Tables and positions are of one reading of the shards: a shard that ends meanwhile is open
        for both.
        """
        return await self._refresh(tables, self._positions.open_shards)

    async def _refresh(
        self, tables: Sequence[Table], read: Callable[[Sequence[str]], Awaitable[list[Shard]]]
    ) -> dict[str, list[Shard]]:
        read_at = self._clock.monotonic()
        shards: dict[str, list[Shard]] = {table.name: [] for table in tables}
        facts = await self._positions.tables(list(shards))
        for shard in await read(list(shards)):
            shards[shard.source].append(shard)
        snapshots = await self._snapshots.facts(list(shards))
        for table in tables:
            table.facts = facts.get(table.name)
            if table.facts and table.facts.mapping_fingerprint == table.mapping.fingerprint:
                table.revision = table.facts.mapping_revision
            table.shards = tuple(shards[table.name])
            table.snapshots = tuple(snapshots.get(table.name, ()))
            table.refreshed(read_at)
        return shards

    async def accept_gaps(self, tables: Iterable[Table]) -> None:
        """Accept gaps as `on_gap` says; the record names the configuration in place of a person."""
        for table in tables:
            gaps = table.facts.gaps if table.facts is not None else ()
            on_gap = table.mapping.spec.on_gap
            if not gaps or on_gap == "stop":
                continue
            if on_gap != "continue":
                origin: SnapshotOrigin = "changes" if on_gap == "export" else "scan"
                await table.loading.heal(why=f"on_gap: {on_gap}", origin=origin)
            else:
                await self._gaps_and_halts.accept_gaps(
                    table.name, who="configuration", why="on_gap: continue"
                )
            await self.refresh([table])

    async def advance_snapshots(self, tables: Collection[Table]) -> None:
        """Take the steps of snapshots that are due, of some tables at a time."""
        await for_each(tables, self._advance, at_once=TABLES_AT_ONCE)

    async def _advance(self, table: Table) -> None:
        while table.may_load and table.facts is not None:
            if not await table.loading.advance(table.facts, table.snapshots):
                break
            await self.refresh([table])
