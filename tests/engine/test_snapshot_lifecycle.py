"""How a table's snapshots begin."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest

from replicator.clock import SystemClock
from replicator.core.snapshot.export_windows import SINCE_MARGIN, Recovery
from replicator.core.snapshot.snapshot_state import SnapshotFacts
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.table_and_shard_facts import TableFacts
from replicator.engine.ports import Snapshots
from replicator.engine.snapshot.snapshot_lifecycle import SnapshotLifecycle
from replicator.errors import SourceDenied, SourceUnavailable
from tests.support.builders import NOON, STREAM, table_mapping

TABLE = TableFacts(
    "orders", STREAM, OrderingMode.FENCE, None, "f", "stream", NOON, False, False, None, None, ()
)
HEAL = SnapshotFacts(
    1, "orders", "gap", "asked", False, "x", None, None, None, NOON, None, None, origin="changes"
)


@dataclass
class Begun:
    """Keeps why each snapshot that was begun is no heal."""

    instead: list[str | None] = field(default_factory=list)

    async def begin(self, *_: Any, instead: str | None, **__: Any) -> bool:
        self.instead.append(instead)
        return True


def loading(begun: Begun, recovery: Callable[[], Awaitable[Recovery | None]]) -> SnapshotLifecycle:
    async def count() -> int | None:
        return None

    return SnapshotLifecycle(
        table_mapping(),
        cast(Snapshots, begun),
        segments=1,
        count_items=count,
        recovery=recovery,
        observe=lambda _: None,
        clock=SystemClock(),
    )


def answering(error: Exception | None) -> Callable[[], Awaitable[Recovery | None]]:
    async def recovery() -> Recovery | None:
        if error is not None:
            raise error
        return None

    return recovery


@pytest.mark.parametrize(
    ("error", "begins"),
    [
        (None, ["a scan instead of exports: point-in-time recovery is off, which exports need"]),
        (SourceDenied("no right"), ["a scan instead of exports: no right"]),
        (SourceUnavailable("away"), []),
    ],
)
async def test_a_heal_waits_for_dynamodb_and_scans_where_it_may_not_ask(
    error: Exception | None, begins: list[str]
):
    begun = Begun()

    assert await loading(begun, answering(error)).advance(TABLE, [HEAL]) == bool(begins)
    assert begun.instead == begins


@pytest.mark.parametrize(("minutes", "scanned"), [(-1, True), (5, True), (60, False)])
async def test_a_gap_whose_beginning_is_soon_out_of_reach_is_scanned(minutes: int, scanned: bool):
    begun = Begun()
    heal = replace(HEAL, lost_since=NOON + SINCE_MARGIN + timedelta(minutes=minutes))

    async def recovery() -> Recovery:
        return Recovery(NOON, NOON + timedelta(days=35), NOON + timedelta(days=35))

    assert await loading(begun, recovery).advance(TABLE, [heal])
    assert [told is not None for told in begun.instead] == [scanned]
