"""Orders of a shop, seeded: rows as PostgreSQL holds them, and the items they come from."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from tests.benchmarks.rows import Kind, json_text, typed
from tests.support.scripted_streams.items import Item

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
    """One row, in the order of key and COLUMNS; `meta` is what becomes JSON."""

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
            *(json_text(self.meta), self.tags, self.signature, self.note),
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
            "meta": typed(self.meta),
            "signature": typed(self.signature),
        }
        if self.discount is not None:
            item["discount"] = {"N": str(self.discount)}
        if self.tags is not None:
            item["tags"] = {"SS": self.tags}
        item["note"] = {"NULL": True} if self.note is None else {"S": self.note}
        return item


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


LINES = 50


def _large(number: int, chance: Random) -> Order:
    """An order whose nested value has 10 KB as an item and 5 as a row."""
    order = new_order(number, chance)
    return replace(order, meta={**order.meta, "lines": _lines(number, chance)})


def _large_updated(order: Order, chance: Random) -> Order:
    changed = updated(order, chance)
    lines = _lines(chance.randrange(10**6), chance)
    return replace(changed, meta={**changed.meta, "lines": lines})


def _lines(number: int, chance: Random) -> list[dict[str, Any]]:
    return [
        {
            "sku": f"SKU-{number:09d}-{line:03d}",
            "title": "a thing with a name that people read, für alle",
            "price": Decimal(chance.randrange(1, 10**5) * 10 + 1).scaleb(-2),
            "taxed": chance.random() < 0.9,
            "sizes": [chance.randrange(100), chance.randrange(100)],
        }
        for line in range(LINES)
    ]


ORDERS = Kind("orders", COLUMNS, new_order, updated)
LARGE_ORDERS = Kind(
    *("large_orders", COLUMNS, _large, _large_updated),
    keys=5_000,
    page_records=40,
    records_divisor=10,
)
