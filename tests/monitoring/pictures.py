"""The status page as pictures, for docs/operations/status-page.md.

`python -m tests.monitoring.pictures FOLDER` draws the page of every situation below in a real
browser, as wide as a screen, a tablet and a phone, and some of them in the dark.
"""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from replicator.core.snapshot.snapshot_progress import SnapshotStatus
from replicator.core.status.deployment_status import (
    GapStatus,
    LetterStatus,
    ShardState,
    Status,
    TableStatus,
)
from replicator.core.stream.gap_proof import how_to_mend
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.monitoring.http_server import Pages, serve
from tests.monitoring.browser import Tab, browser, chromium_or_skip, new_tab
from tests.monitoring.conftest import Monitored, TurnedClock
from tests.monitoring.facts import shard, status, table, worker

SCREENS: Mapping[str, tuple[int, bool]] = {
    "wide": (1280, False),
    "tablet": (820, False),
    "phone": (390, False),
    "dark": (1280, True),
}
IN_THE_DARK = ("thirty",)
UNFOLDED = "gap"
"""The situation whose first table shows its shards, which is the picture of the README."""
HEIGHT_MAX = 1250
_THEN = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
_WORKERS = tuple(
    replace(worker(f"replicator-7d9f-{name}"), holds={"orders": 2, "carts": 1, "customers": 1})
    for name in ("abcde", "fghij")
)
_USUAL = (
    table("orders", lag_seconds=0.8, shards={"active": 4, "done": 31}, records_per_minute=5_210),
    table("customers", shards={"active": 1, "waiting": 1, "done": 12}, records_per_minute=64),
    table("carts", lag_seconds=0.3, shards={"active": 2, "done": 7}, records_per_minute=902),
)


def situations() -> Mapping[str, Status]:
    """A status for each picture, by its name."""
    orders, customers, carts = _USUAL
    lagging = replace(
        carts, lag_seconds=440.0, dead_letters={"public.carts": 3}, newest_dead_letter=_LETTER
    )
    gap = replace(
        carts,
        state="gap",
        gaps=(_GAP,),
        reason=f"certain gap, shard shardId-9: {_GAP.detail}",
        remedy=_GAP.remedy,
        shards={"gap": 1, "active": 1},
    )
    halted = replace(
        carts,
        state="halted",
        reason="public.carts has no column placed_at",
        remedy="add it with `replicator migrate`, then `replicator resume --table carts`",
    )
    loading = replace(carts, state="snapshot", snapshot=_SNAPSHOT)
    return {
        "healthy": status(*_USUAL, workers=_WORKERS),
        "behind": status(orders, customers, lagging, workers=_WORKERS),
        "gap": status(
            replace(orders, shards=_SHARDS, lineage=_LINEAGE), customers, gap, workers=_WORKERS
        ),
        "halted": status(orders, customers, halted, workers=_WORKERS),
        "unreachable": replace(status(*_USUAL, workers=_WORKERS), read_seconds_ago=130.0),
        "snapshot": status(orders, customers, loading, workers=_WORKERS),
        "thirty": status(*fleet(30), workers=_WORKERS),
        "two-hundred": status(*fleet(200), workers=_WORKERS),
    }


def fleet(tables: int) -> tuple[TableStatus, ...]:
    """Two thirds of them are behind, two halted, one is paused, the others are well."""
    late = [table(f"tenant-{n:03}", lag_seconds=400.0 + n) for n in range(tables * 2 // 3)]
    halted = [
        table(
            f"events-{n}",
            state="halted",
            reason=f"public.events_{n} has no column placed_at",
            remedy="replicator migrate --config /etc/replicator/" + "a-long-name-of-a-folder/" * 5,
        )
        for n in range(2)
    ]
    paused = table(
        "audit",
        state="paused",
        reason="paused by alice@bastion: the target is being rebuilt",
        remedy="replicator resume --table audit",
    )
    rest = tables - len(late) - len(halted) - 1
    well = [table(f"well-{n:02}", shards={"active": 200, "done": 900}) for n in range(rest)]
    return (*well, *late, *halted, paused)


_SHARDS: Mapping[ShardState, int] = {"active": 2, "waiting": 2, "done": 3}
_LINEAGE = (
    shard("shardId-01-1f0c3b2a", state="done"),
    shard("shardId-02-9b8d7c6e", parent_id="shardId-01-1f0c3b2a", state="done"),
    shard("shardId-03-5a4f3e2d", parent_id="shardId-02-9b8d7c6e", state="done"),
    shard("shardId-04-08d12dfd", parent_id="shardId-03-5a4f3e2d", owner="replicator-7d9f-abcde"),
    shard(
        "shardId-05-a708a7ae",
        parent_id="shardId-03-5a4f3e2d",
        owner="replicator-7d9f-fghij",
        lag_seconds=0.8,
    ),
    shard(
        "shardId-06-4540215f",
        parent_id="shardId-05-a708a7ae",
        state="waiting",
        owner=None,
        lag_seconds=0.8,
    ),
    shard(
        "shardId-07-e3779b10",
        parent_id="shardId-05-a708a7ae",
        state="waiting",
        owner=None,
        lag_seconds=0.8,
    ),
)
_LETTER = LetterStatus(17, "public.carts", "attribute 'total', column 'total': no number", _THEN)
_GAP = GapStatus(
    4,
    "certain",
    "shardId-9",
    "its records were dropped before they were read",
    _THEN,
    how_to_mend("carts", OrderingMode.FENCE),
)
_SNAPSHOT = SnapshotStatus(
    *(1, "initial", "running", "worker", 1234567, 5_000_000, 0, 10.0, 4, 1, 900.0, None)
)


def names() -> list[str]:
    """A name for each picture, without its ending: the situation and the screen."""
    return [
        f"{name}-{screen}"
        for name in situations()
        for screen in SCREENS
        if screen != "dark" or name in IN_THE_DARK
    ]


async def draw(folder: Path) -> None:
    """Write a picture of every situation on every screen into the folder."""
    profile = Path(tempfile.mkdtemp()) / "profile"
    with browser(chromium_or_skip(), profile) as chromium:
        for name in names():
            situation, _, screen = name.rpartition("-")
            served = serve(_after_an_hour_of(situations()[situation]), host="127.0.0.1", port=0)
            async with served as port, new_tab(chromium) as tab:
                await tab.call("Emulation.setScrollbarsHidden", hidden=True)
                address = f"http://127.0.0.1:{port}/"
                picture = await _drawn(tab, address, screen, unfolded=situation == UNFOLDED)
            (folder / f"{name}.png").write_bytes(picture)


def _after_an_hour_of(status: Status) -> Pages:
    """The pages of a worker whose tables were late by less and more for an hour."""
    clock = TurnedClock()
    monitored = Monitored(clock)
    monitored.everything_ready()
    for quarter_of_a_minute in range(240):
        share = 0.4 + 0.6 * quarter_of_a_minute / 240 * (0.5 + (quarter_of_a_minute * 7 % 10) / 20)
        tables = tuple(
            replace(table, lag_seconds=table.lag_seconds and table.lag_seconds * share)
            for table in status.tables
        )
        monitored.publish(replace(status, tables=tables))
        clock.seconds += 15.0
    monitored.publish(status)
    monitored.health.beat(clock.monotonic())
    return monitored.pages


async def _drawn(tab: Tab, url: str, screen: str, *, unfolded: bool) -> bytes:
    width, dark = SCREENS[screen]
    await tab.look(width=width, dark=dark, height=640)
    await tab.open(url)
    await tab.until("document.querySelector('#table tbody th')")
    if unfolded:
        await tab.evaluate("document.querySelector('#shards summary').click()")
        await tab.until("document.querySelector('.tree')")
    height = int(await tab.evaluate("document.documentElement.scrollHeight"))
    return await tab.photograph(height=min(height, HEIGHT_MAX))


if __name__ == "__main__":
    asyncio.run(draw(Path(sys.argv[1])))
