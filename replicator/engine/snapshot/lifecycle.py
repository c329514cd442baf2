"""The snapshots of one table, step by step: asked for where due, begun, ended when complete."""

from collections.abc import Awaitable, Callable, Sequence

from replicator.clock import Clock
from replicator.core.mapping.compile import TableMapping
from replicator.core.observations import Observe, SnapshotBegun, SnapshotEnded, SnapshotProgressed
from replicator.core.snapshot.state import SnapshotFacts, is_initial_due
from replicator.core.stream.shards import TableFacts
from replicator.engine.ports import Snapshots

PROGRESS_SECONDS = 30.0
"""Seconds between two lines of progress in the log."""

REPAIR_SECONDS_MAX = 1800.0
"""After so long a repair whose process died is ended, and its table leaves `guard`."""

CountItems = Callable[[], Awaitable[int | None]]
"""Item count that the source reports for its table; None while it does not answer."""


class Loading:
    """Life cycle of a table's snapshots, beside the work on their segments.

    Every worker does it at every look: each step is one transaction that only the first one makes.
    """

    def __init__(
        self,
        mapping: TableMapping,
        snapshots: Snapshots,
        *,
        parts: int,
        count_items: CountItems,
        observe: Observe,
        clock: Clock,
    ) -> None:
        self._mapping = mapping
        self._name = mapping.spec.name
        self._snapshots = snapshots
        self._parts = parts
        self._count_items = count_items
        self._observe = observe
        self._clock = clock
        self._told_at = clock.monotonic()

    async def advance(self, table: TableFacts, known: Sequence[SnapshotFacts]) -> bool:
        """Take the steps that are due; True when something changed.

        The table must be fit to work on. Its stream is known first, so that no change made during
        the scan can be missed; that of a table which AWS Lambda writes is known to its mapping.
        """
        if is_initial_due(table, known):
            await self._snapshots.ask(
                self._name, "initial", who="configuration", why="initial_load: snapshot"
            )
            return True
        for snapshot in known:
            match snapshot.state:
                case "asked" if table.stream_arn is not None or table.mode == "lambda":
                    return await self._begin(snapshot)
                case "running" if self._is_left_over(snapshot):
                    return await self._snapshots.abandon(snapshot)
                case "running" if snapshot.complete:
                    return await self._finish(snapshot)
                case "running":
                    self._tell(snapshot)
                case _:
                    pass
        return False

    def _is_left_over(self, snapshot: SnapshotFacts) -> bool:
        """True for a repair that began and did not end in any time it could take."""
        if snapshot.reason != "repair" or snapshot.started_at is None:
            return False
        return (self._clock.now() - snapshot.started_at).total_seconds() > REPAIR_SECONDS_MAX

    async def heal(self, why: str) -> None:
        """Accept the open gaps, and ask for the snapshot that heals them."""
        await self._snapshots.ask(self._name, "gap", who="configuration", why=why)

    async def _begin(self, snapshot: SnapshotFacts) -> bool:
        begun = await self._snapshots.begin(
            snapshot,
            self._mapping.targets,
            parts=self._parts,
            items_estimated=await self._count_items(),
        )
        if begun:
            self._observe(SnapshotBegun(self._name, snapshot.id, snapshot.reason))
        return begun

    async def _finish(self, snapshot: SnapshotFacts) -> bool:
        finished = await self._snapshots.finish(snapshot)
        if finished:
            self._observe(SnapshotEnded(self._name, snapshot.id, snapshot.items, snapshot.swept))
        return finished

    def _tell(self, snapshot: SnapshotFacts) -> None:
        now = self._clock.monotonic()
        if now - self._told_at >= PROGRESS_SECONDS:
            self._told_at = now
            self._observe(
                SnapshotProgressed(
                    self._name, snapshot.id, snapshot.items, snapshot.items_estimated
                )
            )
