"""The tables as they must be: every write folded one by one, with nothing of replicator's own."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

Value = Mapping[str, Any]
Item = Mapping[str, Value]
Key = tuple[Any, ...]

BIGINT_LIMIT = 2**63


class DoesNotFit(Exception):
    """The value has no exact place in the column."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column and the way to its value; one step is a whole top-level attribute."""

    name: str
    type: str
    path: tuple[str, ...]

    @classmethod
    def of(cls, name: str, column_type: str, *path: str) -> "Column":
        return cls(name, column_type, path or (name,))


@dataclass(slots=True)
class Target:
    """One target table. `columns` None: document mode. `rest` None: unmapped attributes go."""

    key: Mapping[str, str]
    """Attributes and types of the key, in order; the columns are called the same."""
    columns: tuple[Column, ...] | None = None
    rest: str | None = None
    rows: dict[Key, dict[str, Any]] = field(default_factory=dict)
    rejected: int = 0

    def put(self, item: Item) -> None:
        """A change with this new image: it becomes the row, or leaves the row as it was."""
        try:
            row = self.row_of(item)
        except DoesNotFit:
            self.rejected += 1
        else:
            self.rows[self.key_of(item)] = row

    def delete(self, keys: Item) -> None:
        self.rows.pop(self.key_of(keys), None)

    def key_of(self, item: Item) -> Key:
        """The key as asyncpg reads it."""
        return tuple(_key_value(item[name]) for name in self.key)

    def row_of(self, item: Item) -> dict[str, Any]:
        """The row of an item; DoesNotFit."""
        row = dict(zip(self.key, self.key_of(item), strict=True))
        if self.columns is None:
            return row | {"data": plain({"M": self._others(item, taken=set())})}
        for column in self.columns:
            row[column.name] = convert(_at(item, column.path), column.type)
        if self.rest is not None:
            taken = {column.path[0] for column in self.columns if len(column.path) == 1}
            row[self.rest] = plain({"M": self._others(item, taken)})
        return row

    def _others(self, item: Item, taken: set[str]) -> Item:
        return {
            name: value
            for name, value in item.items()
            if name not in taken and name not in self.key
        }


def convert(value: Value | None, column_type: str) -> Any:
    """What the column holds, as asyncpg reads it; DoesNotFit."""
    if value is None or "NULL" in value:
        return None
    if column_type.endswith("[]"):
        return _array(value, column_type.removesuffix("[]"))
    kind, _, argument = column_type.partition(":")
    [(tag, raw)] = value.items()
    found = _CONVERSIONS.get((kind, tag))
    if found is None:
        raise DoesNotFit(f"{tag} into {column_type}")
    return found(raw) if not argument else found(raw, argument)


def plain(value: Value) -> Any:
    """A typed value as jsonb holds it; DoesNotFit for NUL characters."""
    [(tag, raw)] = value.items()
    return _PLAIN[tag](raw)


def text(raw: str) -> str:
    if "\0" in raw or any("\ud800" <= character <= "\udfff" for character in raw):
        raise DoesNotFit("no text for PostgreSQL")
    return raw


def number_text(raw: str) -> str:
    """A number without exponent and needless zeros."""
    number = Decimal(raw)
    if not number:
        return "0"
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _at(item: Item, path: tuple[str, ...]) -> Value | None:
    value = item.get(path[0])
    for name in path[1:]:
        value = value["M"].get(name) if value is not None and "M" in value else None
    return value


def _key_value(value: Value) -> Any:
    [(tag, raw)] = value.items()
    return Decimal(raw) if tag == "N" else raw


def _bounded_numeric(raw: str, argument: str) -> Decimal:
    precision, scale = map(int, argument.split(","))
    whole, _, fraction = number_text(raw).lstrip("-").partition(".")
    if len(fraction) > scale or (whole != "0" and len(whole) > precision - scale):
        raise DoesNotFit("numeric")
    return Decimal(raw)


def _bigint(raw: str) -> int:
    number = Decimal(raw)
    if "." in number_text(raw) or not -BIGINT_LIMIT <= number < BIGINT_LIMIT:
        raise DoesNotFit("bigint")
    return int(number)


def _epoch_ms(raw: str) -> datetime:
    if "." in number_text(raw):
        raise DoesNotFit("fractions of a millisecond are not made by these tests")
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(Decimal(raw)))
    except OverflowError as error:
        raise DoesNotFit("years have four digits") from error


def _array(value: Value, element: str) -> list[Any]:
    [(tag, raw)] = value.items()
    sets: dict[tuple[str, str], Callable[[list[Any]], list[Any]]] = {
        ("text", "SS"): lambda members: [text(member) for member in sorted(members)],
        ("text", "NS"): lambda members: [
            number_text(member) for member in sorted(members, key=Decimal)
        ],
        ("numeric", "NS"): lambda members: sorted(map(Decimal, members)),
        ("bytea", "BS"): sorted,
    }
    if (element, tag) in sets:
        return sets[element, tag](raw)
    if tag != "L":
        raise DoesNotFit(f"{tag} into {element}[]")
    return [convert(member, element) for member in raw]


_PLAIN: dict[str, Callable[[Any], Any]] = {
    "S": text,
    "N": Decimal,
    "B": lambda raw: base64.b64encode(raw).decode(),
    "BOOL": lambda raw: raw,
    "NULL": lambda _: None,
    "L": lambda raw: [plain(element) for element in raw],
    "M": lambda raw: {text(name): plain(member) for name, member in raw.items()},
    "SS": lambda raw: [text(member) for member in sorted(raw)],
    "NS": lambda raw: sorted(map(Decimal, raw)),
    "BS": lambda raw: [base64.b64encode(member).decode() for member in sorted(raw)],
}
_CONVERSIONS: dict[tuple[str, str], Callable[..., Any]] = {
    ("text", "S"): text,
    ("text", "N"): number_text,
    ("text", "BOOL"): lambda raw: "true" if raw else "false",
    ("numeric", "N"): lambda raw, argument=None: (
        Decimal(raw) if argument is None else _bounded_numeric(raw, argument)
    ),
    ("bigint", "N"): _bigint,
    ("boolean", "BOOL"): lambda raw: raw,
    ("bytea", "B"): lambda raw: raw,
    ("timestamptz", "N"): _epoch_ms,
    **{
        ("jsonb", tag): lambda raw, tag=tag: plain({tag: raw})
        for tag in ("S", "N", "B", "BOOL", "L", "M", "SS", "NS", "BS")
    },
}
