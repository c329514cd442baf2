"""Terminal view of the running demonstration: a live picture, or lines where there is none."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from replicator.demo.daemon_process import Place

LINE_SECONDS = 3
HEIGHT_WITHOUT_ROWS = 19
LATEST_MAX = 8
WIDTH_MAX = 100


@dataclass(frozen=True, slots=True)
class BothSides:
    """Both sides at one moment."""

    elapsed_seconds: float
    write_seconds: float
    """Total time of writing."""
    written: int
    applied: int
    items: int
    rows: int
    lag_seconds: float
    latest: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def writing(self) -> bool:
        """True while more changes are to come."""
        return self.elapsed_seconds < self.write_seconds


class View(Protocol):
    """Shows readings at arrival."""

    latest: int
    """Number of latest rows that fit on the screen."""

    def opened(self) -> AbstractContextManager[object]:
        """Show the view within the block."""
        ...

    def show(self, reading: BothSides) -> None:
        """Show the state of things."""
        ...


def view_for(console: Console, place: Place) -> View:
    """A live picture on a terminal, lines elsewhere."""
    if console.is_terminal and not console.is_dumb_terminal:
        return Picture(console, place)
    return Lines(console, place)


class Lines:
    """A line every few seconds."""

    latest = 0

    def __init__(self, console: Console, place: Place) -> None:
        self._console = console
        self._next_seconds = 0.0
        for name, where in _addresses(place):
            console.print(f"{name:<12} {where}", soft_wrap=True)

    def opened(self) -> AbstractContextManager[object]:
        """Nothing to open."""
        return nullcontext()

    def show(self, reading: BothSides) -> None:
        """Print one line, when one is due."""
        if reading.elapsed_seconds < self._next_seconds:
            return
        self._next_seconds = reading.elapsed_seconds + LINE_SECONDS
        self._console.print(
            f"{reading.elapsed_seconds:4.0f} s: {reading.written} changes written, "
            f"{reading.applied} applied, {reading.items} items, {reading.rows} rows, "
            f"lag {reading.lag_seconds:.1f} s",
            soft_wrap=True,
        )


class Picture:
    """A picture that keeps the place; gone when it is closed."""

    def __init__(self, console: Console, place: Place) -> None:
        self._place = place
        self._console = console
        self.latest = max(0, min(LATEST_MAX, console.height - HEIGHT_WITHOUT_ROWS))
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def opened(self) -> AbstractContextManager[object]:
        """Show the view on the screen within the block."""
        return self._live

    def show(self, reading: BothSides) -> None:
        """Draw it again."""
        self._live.update(self._draw(reading), refresh=True)

    def _draw(self, reading: BothSides) -> RenderableType:
        parts: list[RenderableType] = [
            Text.assemble(("replicator", "bold"), ": a DynamoDB table and its replica"),
            Text(),
            self._bar(reading),
            Text(),
            _sides(reading),
            Text(),
        ]
        if self.latest:
            width = min(self._console.width, WIDTH_MAX)
            parts += [_rows(reading.latest, room=self.latest, width=width), Text()]
        addresses = Table.grid(padding=(0, 2))
        for name, where in _addresses(self._place):
            addresses.add_row(Text(name, "dim"), Text(where, overflow="fold"))
        parts.append(addresses)
        return Group(*parts)

    def _bar(self, reading: BothSides) -> RenderableType:
        left = max(0.0, reading.write_seconds - reading.elapsed_seconds)
        said = f"{left:3.0f} s more" if reading.writing else "the last changes are on their way"
        row = Table.grid(padding=(0, 2))
        done = min(reading.elapsed_seconds, reading.write_seconds)
        row.add_row(
            "writing orders" if reading.writing else "writing ended ",
            ProgressBar(total=reading.write_seconds, completed=done, width=26),
            said,
        )
        return row


def _sides(reading: BothSides) -> RenderableType:
    table = Table(box=None, padding=(0, 4, 0, 0), header_style="bold")
    table.add_column("", style="dim")
    table.add_column("DynamoDB", min_width=16)
    table.add_column("PostgreSQL", min_width=16)
    table.add_row("changes", f"{reading.written:>6} written", f"{reading.applied:>6} applied")
    table.add_row("orders", f"{reading.items:>6} items", f"{reading.rows:>6} rows")
    table.add_row("lag", "", f"{reading.lag_seconds:>6.1f} s")
    return table


def _rows(rows: tuple[Mapping[str, Any], ...], *, room: int, width: int) -> RenderableType:
    """The latest rows; as high with few of them as with many, so that nothing jumps."""
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        width=width,
        header_style="bold",
        show_edge=False,
    )
    table.add_column("order_id", width=8, no_wrap=True)
    table.add_column("customer", width=14, no_wrap=True)
    table.add_column("status", width=9, no_wrap=True)
    table.add_column("total", width=24, no_wrap=True)
    table.add_column("tags", ratio=1, no_wrap=True)
    for row in rows[:room]:
        table.add_row(
            Text(row["order_id"]),
            Text(row["customer"]),
            Text(row["status"]),
            Text(str(row["total"])),
            Text(", ".join(row["tags"])),
        )
    for _ in range(room - len(rows)):
        table.add_row()
    return table


def _addresses(place: Place) -> tuple[tuple[str, str], ...]:
    return (
        ("status page", place.pages),
        ("metrics", f"{place.pages}metrics"),
        ("PostgreSQL", place.postgres),
        ("DynamoDB", place.dynamodb),
        ("log", str(place.log)),
    )
