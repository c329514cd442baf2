"""What is said at the end: whether both sides are equal, one order on both, what to read next."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from replicator.demo.comparison import Comparison, Difference, Item, Row
from replicator.demo.orders import KEY

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
    ("customer", "customer_name"),
    ("", "city"),
    ("weights", "extra"),
    ("coupon", ""),
)


def print_verdict(console: Console, found: Comparison) -> None:
    """Whether both sides are equal; if not, which orders and what of them."""
    if found.equal:
        console.print(
            Text(
                f"Equal: {found.items} items in DynamoDB, {found.rows} rows in PostgreSQL, "
                "and not a digit, byte or empty field between them.",
                "bold green",
            )
        )
        return
    console.print(
        Text(
            f"Not equal: {len(found.differences)} orders differ between "
            f"{found.items} items in DynamoDB and {found.rows} rows in PostgreSQL.",
            "bold red",
        )
    )
    for difference in found.differences[:NAMED_MAX]:
        console.print(Text(f"  {difference.key}: {_said(difference)}"))
    if len(found.differences) > NAMED_MAX:
        console.print(f"  and {len(found.differences) - NAMED_MAX} more")


def print_order(console: Console, item: Item, row: Row) -> None:
    """One order as an item and as the row it became."""
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        width=min(console.width, WIDTH_MAX),
        header_style="bold",
        show_edge=False,
    )
    table.add_column("the item", width=10, style="dim", no_wrap=True)
    table.add_column("", width=4, style="dim", no_wrap=True)
    table.add_column("in DynamoDB", ratio=1, no_wrap=True)
    table.add_column("its row", width=13, style="dim", no_wrap=True)
    table.add_column("in PostgreSQL", ratio=1, no_wrap=True)
    for attribute, column in SIDE_BY_SIDE:
        [(kind, content)] = item.get(attribute, {"": None}).items()
        table.add_row(
            Text(attribute if kind else ""),
            Text(kind),
            Text(_content(kind, content)),
            Text(column),
            Text(_value(row[column]) if column else ""),
        )
    console.print(table)


def richest(items: Sequence[Item]) -> Item:
    """The item with most to show."""
    return max(items, key=lambda item: (len(item), "NULL" not in item["note"]))


def _said(difference: Difference) -> str:
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
            return repr(content)
        case "BOOL":
            return "true" if content else "false"
        case "B":
            return _hexadecimal(content)
        case "SS" | "NS" | "BS":
            return ", ".join(sorted(map(str, content)))
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
    """A column's value, legible in one line, as psql would about print it."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case bytes():
            return _hexadecimal(value)
        case list():
            return "{" + ", ".join(map(str, value)) + "}"
        case str():
            return value.replace("\n", "\\n")
        case _:
            return str(value)


def _hexadecimal(content: Any) -> str:  # noqa: ANN401 (bytes, as two clients wrap them)
    return "\\x" + bytes(content).hex()
