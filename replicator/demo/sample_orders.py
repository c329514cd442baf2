"""Sample orders and what happens to them, in DynamoDB's own words. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.type_defs import (
        AttributeValueTypeDef,
        CreateTableInputTypeDef,
        UniversalAttributeValueTypeDef,
    )

TABLE = "orders"
KEY = "order_id"
DIGITS = Context(prec=38)  # as many as DynamoDB keeps
STAGES = ("placed", "paid", "packed", "shipped", "delivered")

CUSTOMERS = (
    ("Ada Whitcombe", "Leeds", "GB"),
    ("Zoë Lindqvist", "Malmö", "SE"),
    ("Søren Dalgaard", "Aarhus", "DK"),
    ("José Ibáñez", "Cádiz", "ES"),
    ("Chiara D'Amico", "Turin", "IT"),
    ("Ngọc Trần", "Huế", "VN"),
    ("Jörg Weiß", "Görlitz", "DE"),
    ("Maeve O'Brien", "Galway", "IE"),
)
PRODUCTS = (
    ("tea-125", "Green tea, 125 g", "7.95"),
    ("lamp-02", 'Desk lamp "Ida"', "89.90"),
    ("mug-11", "Mug, 0.3 l", "12.50"),
    ("wool-7", "Wool blanket", "129.00"),
    ("pen-1", "Fountain pen", "34.75"),
    ("ink-3", "Ink, blue\\black", "9.20"),
)
TAGS = ("web", "phone", "returning", "fragile", "insured", "wholesale")
NOTES = ("ring twice", 'behind the "blue" door', "please no plastic ♻", "2nd floor\nleft")


@dataclass(frozen=True, slots=True)
class Put:
    """A whole new item."""

    item: "Mapping[str, UniversalAttributeValueTypeDef]"


@dataclass(frozen=True, slots=True)
class Update:
    """A change of a few attributes; every one changes something, so each makes a record."""

    order_id: str
    expression: str
    values: "Mapping[str, UniversalAttributeValueTypeDef]"


@dataclass(frozen=True, slots=True)
class Delete:
    """The end of an item."""

    order_id: str


Change = Put | Update | Delete


def table_definition() -> "CreateTableInputTypeDef":
    """A table with a stream of whole images, which is what a replica needs."""
    return {
        "TableName": TABLE,
        "KeySchema": [{"AttributeName": KEY, "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": KEY, "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    }


def key_of(order_id: str) -> "Mapping[str, AttributeValueTypeDef]":
    """An order's key."""
    return {KEY: {"S": order_id}}


class Shop:
    """Says what happens next: half of it new orders, the rest what becomes of the older ones."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._placed = 0
        self._stages: dict[str, int] = {}

    @property
    def orders(self) -> int:
        """Number of orders after all changes so far."""
        return len(self._stages)

    def next_change(self, now: datetime) -> Change:
        """The next change, to be made before the one after it."""
        chance = self._random.random()
        if chance < 0.5 or not self._stages:
            return self._place(now)
        order_id = self._random.choice(list(self._stages))
        if chance > 0.92 or self._stages[order_id] + 1 == len(STAGES):
            del self._stages[order_id]
            return Delete(order_id)
        self._stages[order_id] += 1
        return _advance(order_id, STAGES[self._stages[order_id]], now, self._random)

    def _place(self, now: datetime) -> Put:
        self._placed += 1
        order_id = f"A-{self._placed:04}"
        self._stages[order_id] = 0
        return Put(_order(order_id, now, self._random))


def _order(
    order_id: str, now: datetime, random: Random
) -> "dict[str, UniversalAttributeValueTypeDef]":
    name, city, country = random.choice(CUSTOMERS)
    lines = [(product, random.randint(1, 4)) for product in random.sample(PRODUCTS, 2)]
    total = sum(Decimal(price) * count for (_, _, price), count in lines)
    rate = Decimal(random.randrange(10**17, 2 * 10**17)).scaleb(-17)  # of that day, unrounded
    item: dict[str, UniversalAttributeValueTypeDef] = {
        KEY: {"S": order_id},
        "status": {"S": STAGES[0]},
        "placed_at": {
            "S": now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        },
        "changed_at": {"N": _milliseconds(now)},
        "total": {"N": str(DIGITS.multiply(Decimal(total), rate))},
        "gift": {"BOOL": random.random() < 0.3},
        "tags": {"SS": random.sample(TAGS, random.randint(1, 3))},
        "note": {"S": random.choice(NOTES)} if random.random() < 0.6 else {"NULL": True},
        "lines": {"L": [_line(product, count) for product, count in lines]},
        "customer": {
            "M": {
                "name": {"S": name},
                "address": {"M": {"city": {"S": city}, "country": {"S": country}}},
            }
        },
        "weights": {"NS": [f"0.{random.randint(1, 9)}5", str(random.randint(1, 9))]},
    }
    if random.random() < 0.5:
        item["coupon"] = {"S": f"SAVE-{random.randint(5, 30)}"}
    return item


def _line(
    product: tuple[str, str, str], count: int
) -> "dict[str, dict[str, dict[str, str | bool]]]":
    sku, title, price = product
    return {
        "M": {
            "sku": {"S": sku},
            "title": {"S": title},
            "price": {"N": price},
            "quantity": {"N": str(count)},
            "packed": {"BOOL": False},
        }
    }


def _advance(order_id: str, stage: str, now: datetime, random: Random) -> Update:
    """Each stage touches the item in another way."""
    expression = "SET #status = :status, changed_at = :now"
    values: dict[str, UniversalAttributeValueTypeDef] = {
        ":status": {"S": stage},
        ":now": {"N": _milliseconds(now)},
    }
    match stage:
        case "paid":
            expression += ", signature = :signature"
            values[":signature"] = {"B": random.randbytes(12)}
        case "packed":
            expression += ", #lines[0].packed = :yes"
            values[":yes"] = {"BOOL": True}
        case "shipped":
            expression += " ADD tags :tags"
            values[":tags"] = {"SS": ["on its way"]}
        case _:
            expression += ", note = :note REMOVE coupon"
            values[":note"] = {"S": "left with a neighbour ☕"}
    return Update(order_id, expression, values)


def _milliseconds(now: datetime) -> str:
    return str(int(now.timestamp() * 1000))
