"""Orders of a shop, seeded: rows as PostgreSQL holds them, and the items they come from."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import orjson

from tests.support.scripted_streams.items import Item

KEY = {"pk": "S", "sk": "S"}
COLUMNS = {
    "total": "numeric(12,2)",
    "quantity": "bigint",
    "discount": "numeric",
    "status": "text",
    "customer": "text",
    "address": "text",
    "paid": "boolean",
    "placed": "timestamptz",
    "meta": "jsonb",
    "tags": "text[]",
    "signature": "bytea",
    "note": "text",
}
"""The twelve mapped columns, as a configuration says them."""

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_STATES = ("new", "paid", "packed", "shipped", "returned")
_STREETS = ("Am Marktplatz", "Königsallee", "Rue de la Paix", "Long Lane", "Via Roma")
_TAGS = ("gift", "express", "fragile", "b2b", "retour", "prime", "bulky")
_LINE = "the customer asked for a delivery in the afternoon, not before four o'clock"


@dataclass(frozen=True, slots=True)
class Order:
    """One row, in the order of key and COLUMNS; `meta` is plain JSON without fractions."""

    pk: str
    sk: str
    total: Decimal
    quantity: int
    discount: Decimal | None
    status: str
    customer: str
    address: str
    paid: bool
    placed: datetime
    meta: dict[str, Any]
    tags: list[str] | None
    signature: bytes
    note: str | None

    def cells(self) -> tuple[Any, ...]:
        """The values as asyncpg takes them."""
        return (
            *(self.pk, self.sk, self.total, self.quantity, self.discount, self.status),
            *(self.customer, self.address, self.paid, self.placed),
            *(orjson.dumps(self.meta).decode(), self.tags, self.signature, self.note),
        )

    def item(self) -> Item:
        """The item in DynamoDB JSON as on the wire."""
        item: Item = {
            "pk": {"S": self.pk},
            "sk": {"S": self.sk},
            "total": {"N": str(self.total)},
            "quantity": {"N": str(self.quantity)},
            "status": {"S": self.status},
            "customer": {"S": self.customer},
            "address": {"S": self.address},
            "paid": {"BOOL": self.paid},
            "placed": {"S": self.placed.isoformat().replace("+00:00", "Z")},
            "meta": _typed(self.meta),
            "signature": {"B": base64.b64encode(self.signature).decode()},
        }
        if self.discount is not None:
            item["discount"] = {"N": str(self.discount)}
        if self.tags is not None:
            item["tags"] = {"SS": self.tags}
        item["note"] = {"NULL": True} if self.note is None else {"S": self.note}
        return item

    def document(self, *without: str) -> str:
        """The JSON of the attributes that are not part of the key, as jsonb holds them."""
        members = {
            name: _plain(value)
            for name, value in self.item().items()
            if name not in KEY and name not in without
        }
        return orjson.dumps(members).decode()


def new_order(number: int, chance: Random) -> Order:
    """A fresh order under this key."""
    total = Decimal(chance.randrange(1, 10_000_000) * 10 + 1).scaleb(-2)
    return Order(
        pk=f"CUSTOMER#{number % 9973:06d}",
        sk=f"ORDER#{number:09d}",
        total=total,
        quantity=chance.randrange(1, 500),
        discount=Decimal(chance.randrange(1, 10**15)).scaleb(-17).normalize()
        if chance.random() < 0.5
        else None,
        status=_STATES[chance.randrange(5)],
        customer=f"customer {chance.randrange(10**8):08d} of the shop",
        address=f"{_STREETS[chance.randrange(5)]} {chance.randrange(200)}, {number % 90000:05d}",
        paid=chance.random() < 0.5,
        placed=_EPOCH + timedelta(seconds=chance.randrange(10**7), milliseconds=number % 1000),
        meta=_meta(chance),
        tags=sorted({_TAGS[chance.randrange(7)] for _ in range(3)})
        if chance.random() < 0.8
        else None,
        signature=chance.randbytes(24),
        note=f"{_LINE} ({chance.randrange(10**6)})" if chance.random() < 0.5 else None,
    )


def updated(order: Order, chance: Random) -> Order:
    """The same order with another state."""
    values = {name: getattr(order, name) for name in Order.__dataclass_fields__}
    values |= {
        "status": _STATES[chance.randrange(5)],
        "quantity": chance.randrange(1, 500),
        "paid": not order.paid,
        "meta": _meta(chance),
    }
    return Order(**values)


def _meta(chance: Random) -> dict[str, Any]:
    return {
        "channel": "app" if chance.random() < 0.5 else "web",
        "campaign": {"id": chance.randrange(10**9), "name": "autumn sale: 20 % off, für alle"},
        "weights": [chance.randrange(1000) for _ in range(3)],
        "gift": chance.random() < 0.1,
    }


def _typed(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case list():
            return {"L": [_typed(member) for member in value]}
        case _:
            return {"M": {name: _typed(member) for name, member in value.items()}}


def _plain(value: Any) -> Any:
    [(tag, raw)] = value.items()
    match tag:
        case "N":
            return orjson.Fragment(raw)
        case "M":
            return {name: _plain(member) for name, member in raw.items()}
        case "L":
            return [_plain(member) for member in raw]
        case "NULL":
            return None
        case _:
            return raw
