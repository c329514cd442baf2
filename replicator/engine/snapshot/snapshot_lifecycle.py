"""The snapshots of one table, step by step: asked for where due, begun, ended when complete."""

from collections.abc import Awaitable, Callable, Sequence

from replicator.clock import Clock
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.snapshot.export_windows import Recovery, why_not
from replicator.core.snapshot.snapshot_state import SnapshotFacts, SnapshotOrigin, is_initial_due
from replicator.core.stream.table_and_shard_facts import TableFacts
from replicator.core.telemetry_events import (
    Observe,
    SnapshotBegun,
    SnapshotEnded,
    SnapshotProgressed,
)
from replicator.engine.ports import Snapshots
from replicator.errors import ReplicatorError, SourceDenied

PROGRESS_SECONDS = 30.0
"""Seconds between two lines of progress in the log."""

REPAIR_SECONDS_MAX = 1800.0
"""Seconds after which a repair whose process died is ended, and the table leaves `guard`."""

CountItems = Callable[[], Awaitable[int | None]]
"""Item count that the source reports for the table; None while the source does not answer."""

LookAtRecovery = Callable[[], Awaitable[Recovery | None]]
"""Times that the table can be exported of; None: point-in-time recovery is off."""


class SnapshotLifecycle:
    """Life cycle of a table's snapshots, beside the work on the segments.

    Every worker does it at every look: each step is one transaction that only the first one makes.
    """

    def __init__(
        self,
        mapping: TableMapping,
        snapshots: Snapshots,
        *,
        segments: int,
        count_items: CountItems,
        recovery: LookAtRecovery,
        observe: Observe,
        clock: Clock,
    ) -> None:
        self._mapping = mapping
        self._name = mapping.spec.name
        self._snapshots = snapshots
        self._segments = segments
        self._count_items = count_items
        self._recovery = recovery
        self._observe = observe
        self._clock = clock
        self._told_at = clock.monotonic()

    async def advance(self, table: TableFacts, known: Sequence[SnapshotFacts]) -> bool:
        """Take the steps that are due; True when something changed.

        The table must be fit. The stream is known first, so that no change made during
        the scan can be missed; that of a table which AWS Lambda writes is known to the mapping.
        """
        if is_initial_due(table, known):
            await self._snapshots.ask(
                self._name,
                "initial",
                who="configuration",
                why=f"initial_load: {table.initial_load}",
                origin="export" if table.initial_load == "export" else "scan",
            )
            return True
        for snapshot in known:
            match snapshot.state:
                case "asked" if table.stream_arn is not None or table.ordering.poller == "lambda":
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

    async def heal(self, why: str, *, origin: SnapshotOrigin) -> None:
        """Accept the open gaps, and ask for a snapshot that heals the gaps."""
        await self._snapshots.ask(self._name, "gap", who="configuration", why=why, origin=origin)

    async def _begin(self, snapshot: SnapshotFacts) -> bool:
        instead, items = None, None
        if snapshot.origin == "changes":
            try:
                reason = await self._why_not(snapshot)
            except ReplicatorError:
                return False  # asked again at the next look; other tables do not wait for it
            instead = None if reason is None else f"a scan instead of exports: {reason}"
        if snapshot.origin != "changes" or instead is not None:
            items = await self._count_items()
        begun = await self._snapshots.begin(
            snapshot,
            self._mapping.targets,
            segments=self._segments,
            items_estimated=items,
            instead=instead,
        )
        if begun:
            self._observe(SnapshotBegun(self._name, snapshot.id, snapshot.reason))
        return begun

    async def _why_not(self, snapshot: SnapshotFacts) -> str | None:
        """The reason why the gaps cannot be healed from exports; None where possible."""
        try:
            return why_not(snapshot.lost_since, await self._recovery())
        except SourceDenied as error:
            return str(error)

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
