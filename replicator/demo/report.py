"""Text at the end of the demonstration: the verdict, one order on both sides, where to read on."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from replicator.demo.comparison import Comparison, OrderDifference, StoredItem, StoredRow
from replicator.demo.sample_orders import KEY

NAMED_MAX = 20
WIDTH_MAX = 110
# attributes and the columns that stand beside them: what belongs together shares a line
SIDE_BY_SIDE = (
    (KEY, KEY),
    ("status", "status"),
    ("placed_at", "placed_at"),
    ("changed_at", "changed_at"),
    ("total", "total"),
    ("gift", "gift"),
    ("tags", "tags"),
    ("signature", "signature"),
    ("note", "note"),
    ("lines", "lines"),
    ("customer", "customer"),
    ("", "city"),
    ("weights", "extra"),
    ("coupon", ""),
)


def say(console: Console, text: str, style: str = "") -> None:
    """A sentence: broken between words on a terminal, one line anywhere else."""
    console.print(Text(text, style), soft_wrap=not console.is_terminal)


def say_verdict(console: Console, found: Comparison) -> None:
    """Print the verdict; if the sides differ, which orders and in which columns."""
    if found.equal:
        sentence = (
            f"Equal: {found.items} items in DynamoDB, {found.rows} rows in PostgreSQL, "
            "and not a digit, a byte or an empty field between them."
        )
        say(console, sentence, "bold green")
        return
    sentence = (
        f"Not equal: {found.items} items in DynamoDB, {found.rows} rows in PostgreSQL, "
        f"{len(found.differences)} orders differ."
    )
    say(console, sentence, "bold red")
    for difference in found.differences[:NAMED_MAX]:
        say(console, f"  {difference.key}: {_said(difference)}")
    if len(found.differences) > NAMED_MAX:
        say(console, f"  and {len(found.differences) - NAMED_MAX} more")


def draw_order(console: Console, item: StoredItem, row: StoredRow) -> None:
    """One order as an item and as the row it became."""
    table = Table(
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        width=min(console.width, WIDTH_MAX),
        header_style="bold",
    )
    table.add_column("", min_width=10, style="dim", no_wrap=True)
    table.add_column("", min_width=4, style="dim", no_wrap=True)
    table.add_column("an item in DynamoDB", ratio=1, no_wrap=True)
    table.add_column("", min_width=10, style="dim", no_wrap=True)
    table.add_column("its row in PostgreSQL", ratio=1, no_wrap=True)
    for attribute, column in SIDE_BY_SIDE:
        [(kind, content)] = item.get(attribute, {"": None}).items()
        table.add_row(
            attribute if kind else "",
            kind,
            Text(_content(kind, content)),
            column,
            Text(_value(row[column]) if column else ""),
        )
    console.print(table)


def say_what_is_next(console: Console, configuration: Path) -> None:
    """Print where to go from here."""
    near = configuration.is_relative_to(Path.cwd())
    shown = configuration.relative_to(Path.cwd()) if near else configuration
    say(console, f"The daemon ran with {shown}.")
    say(console, "`replicator init --table NAME` writes one for a table of yours.")


def richest(items: Sequence[StoredItem]) -> StoredItem:
    """The item with most to show."""
    return max(items, key=lambda item: (len(item), "NULL" not in item["note"]))


def _said(difference: OrderDifference) -> str:
    match difference.kind:
        case "missing":
            return "missing in PostgreSQL"
        case "extra":
            return "in PostgreSQL only"
        case "different":
            return f"different: {', '.join(difference.columns)}"


def _content(kind: str, content: Any) -> str:  # noqa: ANN401 (an attribute is anything)
    """An attribute's content, legible in one line."""
    match kind:
        case "S":
            return _one_line(content)
        case "BOOL":
            return _truth(content)
        case "B":
            return _hexadecimal(content)
        case "SS" | "NS":
            return ", ".join(sorted(content))
        case "M":
            return "{" + ", ".join(_member(name, content[name]) for name in content) + "}"
        case "L":
            return "[" + ", ".join(_member("", member) for member in content) + "]"
        case "N":
            return str(content)
        case _:
            return ""


def _member(name: str, value: Mapping[str, Any]) -> str:
    [(kind, content)] = value.items()
    return (f"{name}: " if name else "") + _content(kind, content)


def _value(value: object) -> str:
    """A column's value, legible in one line, much as psql prints it."""
    match value:
        case None:
            return "NULL"
        case bool():
            return _truth(value)
        case bytes():
            return _hexadecimal(value)
        case list():
            return "{" + ", ".join(map(str, value)) + "}"
        case datetime():
            return value.isoformat(sep=" ", timespec="milliseconds").removesuffix(":00")
        case _:
            return _one_line(str(value))


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")


def _truth(value: object) -> str:
    return "true" if value else "false"


def _hexadecimal(content: Any) -> str:  # noqa: ANN401 (bytes, as two clients wrap them)
    return "\\x" + bytes(content).hex()
