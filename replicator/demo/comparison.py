"""Items and rows compared value by value, by a reading of both that the daemon does not share."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import asyncpg

from replicator.aws.error_translation import FAILURES, translate
from replicator.demo.sample_orders import KEY, TABLE
from replicator.errors import SinkUnavailable

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

ROWS = f'select * from public."{TABLE}" order by "{KEY}"'  # noqa: S608 (two constants)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JSON_COLUMNS = ("lines", "extra")
# taken by a column as they are; all others stay in `extra`, also those a path leads into
TAKEN = (
    KEY, "status", "placed_at", "changed_at", "total", "gift", "tags", "signature", "note", "lines",
)  # fmt: skip

StoredItem = Mapping[str, Mapping[str, Any]]
"""DynamoDB's typed attributes, from the client."""
StoredRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OrderDifference:
    """An order that is not the same on both sides; `columns` when both have it."""

    key: str
    kind: Literal["missing", "extra", "different"]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Result of comparing all items with all rows."""

    items: int
    rows: int
    differences: tuple[OrderDifference, ...]

    @property
    def equal(self) -> bool:
        """True when every item has its row, no row is without an item, and all values agree."""
        return not self.differences


def compare(items: Iterable[StoredItem], rows: Iterable[StoredRow]) -> Comparison:
    """Find every order that is missing in PostgreSQL, extra there, or different."""
    expected = {row[KEY]: row for row in map(expected_row, items)}
    actual = {row[KEY]: read_row(row) for row in rows}
    differences: list[OrderDifference] = []
    for key in sorted(expected.keys() | actual.keys()):
        if key not in actual:
            differences.append(OrderDifference(key, "missing"))
        elif key not in expected:
            differences.append(OrderDifference(key, "extra"))
        elif columns := _differing(expected[key], actual[key]):
            differences.append(OrderDifference(key, "different", columns))
    return Comparison(len(expected), len(actual), tuple(differences))


async def read_items(client: "DynamoDBClient") -> list[StoredItem]:
    """All items, by a consistent Scan; SourceUnavailable."""
    items: list[StoredItem] = []
    try:
        pages = client.get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True)
        async for page in pages:
            items += page["Items"]
    except FAILURES as error:
        raise translate(error) from error
    return items


async def read_rows(connection: "asyncpg.Connection[asyncpg.Record]") -> list[StoredRow]:
    """All rows; SinkUnavailable."""
    try:
        return [dict(row) for row in await connection.fetch(ROWS)]
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise SinkUnavailable(f"the rows cannot be read: {error}") from error


def expected_row(item: StoredItem) -> dict[str, Any]:
    """The row that an item must have become, column by column."""
    read = {name: read_value(value) for name, value in item.items()}
    customer = read["customer"]
    row = {name: read.get(name) for name in TAKEN}
    row["placed_at"] = datetime.fromisoformat(read["placed_at"])
    row["changed_at"] = EPOCH + timedelta(milliseconds=int(read["changed_at"]))
    row["lines"] = _as_json(read["lines"])
    row["customer"] = customer["name"]
    row["city"] = customer["address"]["city"]
    row["extra"] = _as_json({name: value for name, value in read.items() if name not in TAKEN})
    return row


def read_value(value: Mapping[str, Any]) -> Any:  # noqa: ANN401 (an attribute is anything)
    """An attribute as a Python value: numbers with all digits, sets as sorted lists."""
    [(kind, content)] = value.items()
    match kind:
        case "S" | "BOOL":
            return content
        case "N":
            return Decimal(content)
        case "B":
            return bytes(content)
        case "NULL":
            return None
        case "SS":
            return sorted(content)
        case "NS":
            return sorted(map(Decimal, content))
        case "BS":
            return sorted(map(bytes, content))
        case "L":
            return [read_value(member) for member in content]
        case "M":
            return {name: read_value(member) for name, member in content.items()}
        case _:
            raise ValueError(f"DynamoDB has no type {kind}")


def read_row(row: StoredRow) -> dict[str, Any]:
    """A row from asyncpg, with JSON decoded: numbers keep all digits there too."""
    return {
        column: json.loads(value, parse_int=Decimal, parse_float=Decimal)
        if column in JSON_COLUMNS and value is not None
        else value
        for column, value in row.items()
    }


def same(one: object, other: object) -> bool:
    """Equal and of equal types, all the way down: 1 is not true and not "1"."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def _differing(expected: StoredRow, actual: StoredRow) -> tuple[str, ...]:
    """The columns whose values differ, or that only one side has."""
    both = dict.fromkeys([*expected, *actual])
    return tuple(
        column
        for column in both
        if column not in expected
        or column not in actual
        or not same(expected[column], actual[column])
    )


def _as_json(value: object) -> object:
    """The value as JSON can say it: binary in base64."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case Mapping():
            return {name: _as_json(member) for name, member in value.items()}
        case Sequence() if not isinstance(value, str):
            return [_as_json(member) for member in value]
        case _:
            return value
