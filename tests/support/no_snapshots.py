"""A world in which nobody asks for a snapshot: what is built for one is never called."""

from collections.abc import Collection
from typing import Any

from replicator.clock import Clock
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.snapshot.snapshot_state import SnapshotFacts
from replicator.core.telemetry_events import Observe
from replicator.engine.snapshot.plan_and_apply_page import PagePipeline
from replicator.engine.snapshot.read_rate_limit import PacedItems, ReadPacing
from replicator.engine.snapshot.segment_load import SnapshotParts
from replicator.engine.snapshot.snapshot_lifecycle import SnapshotLifecycle


class NoSnapshots:
    """Has none, and none is asked for."""

    async def facts(self, sources: Collection[str] | None = None) -> dict[str, list[SnapshotFacts]]:
        return {}

    def __getattr__(self, name: str) -> Any:
        message = f"nobody should call {name}"
        raise AssertionError(message)


def without_snapshots(
    mapping: TableMapping, observe: Observe, clock: Clock
) -> tuple[SnapshotLifecycle, SnapshotParts]:
    """What a table needs for snapshots that never come."""
    nothing: Any = NoSnapshots()
    name = mapping.spec.name

    async def count_items() -> int | None:
        return None

    loading = SnapshotLifecycle(
        mapping,
        nothing,
        segments=1,
        count_items=count_items,
        recovery=nothing,
        observe=observe,
        clock=clock,
    )
    parts = SnapshotParts(
        name,
        mapping,
        claims=nothing,
        snapshots=nothing,
        gaps_and_halts=nothing,
        items=PacedItems(nothing, ReadPacing(1.0, clock)),
        pages=PagePipeline(name, mapping, nothing, observe, clock),
        exports=nothing,
        export_records=nothing,
        stale_rows=nothing,
        look_at_table=nothing,
        observe=observe,
        clock=clock,
    )
    return loading, parts
