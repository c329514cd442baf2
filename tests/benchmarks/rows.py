"""Rows that are measured: what each kind of row has in common, as an item and as plain JSON."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any, Protocol

import orjson

from tests.support.scripted_streams.items import Item, Value

KEY = {"pk": "S", "sk": "S"}
KEYS = 100_000
PAGE_RECORDS = 1000


class Row(Protocol):
    """A row of one kind, and the item it comes from."""

    @property
    def pk(self) -> str: ...
    @property
    def sk(self) -> str: ...
    def cells(self) -> tuple[Any, ...]:
        """The key and the columns of the kind, as asyncpg takes them."""

    def item(self) -> Item:
        """The item in DynamoDB JSON as on the wire."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How rows of a kind are made; `columns` are the mapped ones with their types."""

    name: str
    columns: Mapping[str, str]
    new: Callable[[int, Random], Any]
    updated: Callable[[Any, Random], Any]
    keys: int = KEYS
    """So many rows are there before."""
    page_records: int = PAGE_RECORDS
    """As many records as an answer of the source has room for."""
    records_divisor: int = 1
    """One in so many of the records that others are measured with, where records are large."""


def document(row: Row, *without: str) -> str:
    """The JSON of the attributes that are not part of the key, as jsonb holds them."""
    members = {
        name: plain(value)
        for name, value in row.item().items()
        if name not in KEY and name not in without
    }
    return orjson.dumps(members).decode()


def json_text(value: Any) -> str:
    """A value of Python as the JSON that its item becomes."""
    return orjson.dumps(plain(typed(value))).decode()


def typed(value: Any) -> Value:
    """A value of Python as DynamoDB's JSON has it."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case bytes():
            return {"B": base64.b64encode(value).decode()}
        case list():
            return {"L": [typed(member) for member in value]}
        case frozenset():
            [[tag, *_]] = {tuple(typed(member)) for member in value}
            return {f"{tag}S": [raw for member in value for raw in typed(member).values()]}
        case _:
            return {"M": {name: typed(member) for name, member in value.items()}}


def plain(value: Value) -> Any:
    """A value of DynamoDB's JSON as orjson writes the plain one."""
    [(tag, raw)] = value.items()
    match tag:
        case "N":
            return orjson.Fragment(raw)
        case "M":
            return {name: plain(member) for name, member in raw.items()}
        case "L":
            return [plain(member) for member in raw]
        case "SS":
            return sorted(raw)
        case "NS":
            return [orjson.Fragment(member) for member in sorted(raw, key=Decimal)]
        case "BS":
            return sorted(raw, key=base64.b64decode)
        case "NULL":
            return None
        case _:
            return raw
