"""Articles of a shop, seeded: items with values of all types that DynamoDB has."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from tests.benchmarks.rows import Kind, json_text, typed
from tests.support.scripted_streams.items import Item

COLUMNS = {
    "name": "text",
    "code": "text",  # a number in the item
    "price": "numeric(12,2)",
    "stock": "bigint",
    "weight": "numeric",
    "active": "boolean",
    "released": "timestamptz",
    "colours": "text[]",
    "sizes": "numeric[]",
    "seals": "bytea[]",
    "thumbnail": "bytea",
    "details": "jsonb",
    "offers": "jsonb",
    "remark": "text",
}
UNMAPPED_BETWEEN = 100
"""One item of so many has an attribute that no column takes."""
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_COLOURS = ("amber", "blue", "crème", "grey", "olive", "red", "white")
_BRANDS = ("Nordlicht", "Atelier Été", "Long Lane", "Via Roma")
_REMARK = 'a remark that somebody wrote about this article, with a "quotation" in it'


@dataclass(frozen=True, slots=True)
class Article:
    """One row, in the order of key and COLUMNS; `details` and `offers` become JSON, `campaign` is
    an attribute without a column."""

    pk: str
    sk: str
    name: str
    code: str
    price: Decimal
    stock: int
    weight: Decimal
    active: bool
    released: datetime
    colours: frozenset[str]
    sizes: frozenset[Decimal] | None
    seals: frozenset[bytes] | None
    thumbnail: bytes
    details: dict[str, Any]
    offers: list[dict[str, Any]]
    remark: str | None
    campaign: str | None

    def cells(self) -> tuple[Any, ...]:
        """The values as asyncpg takes them."""
        return (
            *(self.pk, self.sk, self.name, self.code, self.price, self.stock, self.weight),
            *(self.active, self.released, sorted(self.colours)),
            None if self.sizes is None else sorted(self.sizes),
            None if self.seals is None else sorted(self.seals),
            *(self.thumbnail, json_text(self.details), json_text(self.offers), self.remark),
        )

    def item(self) -> Item:
        """The item in DynamoDB JSON as on the wire."""
        item: Item = {
            "pk": {"S": self.pk},
            "sk": {"S": self.sk},
            "name": {"S": self.name},
            "code": {"N": self.code},
            "price": typed(self.price),
            "stock": typed(self.stock),
            "weight": typed(self.weight),
            "active": typed(self.active),
            "released": {"S": self.released.isoformat().replace("+00:00", "Z")},
            "colours": typed(self.colours),
            "thumbnail": typed(self.thumbnail),
            "details": typed(self.details),
            "offers": typed(self.offers),
            "remark": typed(self.remark),
        }
        for name in ("sizes", "seals", "campaign"):
            value = getattr(self, name)
            if value is not None:
                item[name] = typed(value)
        return item


def new_article(number: int, chance: Random) -> Article:
    """A fresh article under this key."""
    return Article(
        pk=f"SHOP#{number % 9973:06d}",
        sk=f"ARTICLE#{number:09d}",
        name=f"article {chance.randrange(10**8):08d} of the shop",
        code=str(chance.randrange(10**12)),
        price=_decimal(chance, 10**7, -2),
        stock=chance.randrange(10**4),
        weight=_decimal(chance, 10**13, -12),
        active=chance.random() < 0.5,
        released=_EPOCH + timedelta(seconds=chance.randrange(10**7), milliseconds=number % 1000),
        colours=frozenset(chance.sample(_COLOURS, chance.randrange(1, 4))),
        sizes=_sizes(chance) if chance.random() < 0.25 else None,
        seals=_seals(chance) if chance.random() < 0.25 else None,
        thumbnail=chance.randbytes(30),
        details=_details(chance),
        offers=_offers(chance),
        remark=_remark(chance),
        campaign="autumn" if chance.randrange(UNMAPPED_BETWEEN) == 0 else None,
    )


def updated_article(article: Article, chance: Random) -> Article:
    """The same article with other offers."""
    return replace(
        article,
        price=_decimal(chance, 10**7, -2),
        stock=chance.randrange(10**4),
        active=not article.active,
        details=_details(chance),
        offers=_offers(chance),
    )


def _details(chance: Random) -> dict[str, Any]:
    details: dict[str, Any] = {
        "brand": chance.choice(_BRANDS),
        "fragile": chance.random() < 0.2,
        "origin": None if chance.random() < 0.3 else "made in a place with a name",
        "box": {side: _decimal(chance, 1000, -1) for side in ("width", "height", "depth")},
        "notes": [f"note {chance.randrange(10**6)}" for _ in range(chance.randrange(3))],
    }
    if chance.random() < 0.25:
        details["sizes"] = _sizes(chance)
    if chance.random() < 0.25:
        details["seals"] = _seals(chance)
    return details


def _offers(chance: Random) -> list[dict[str, Any]]:
    return [
        {
            "from": f"2026-{chance.randrange(1, 13):02d}-01",
            "price": _decimal(chance, 10**6, -2),
            "online": chance.random() < 0.5,
        }
        for _ in range(chance.randrange(4))
    ]


def _remark(chance: Random) -> str | None:
    drawn = chance.random()
    if drawn < 0.5:
        return None
    return _REMARK if drawn < 0.625 else f"a remark that somebody wrote ({chance.randrange(10**6)})"


def _sizes(chance: Random) -> frozenset[Decimal]:
    return frozenset(_decimal(chance, 1000, -1) for _ in range(3))


def _seals(chance: Random) -> frozenset[bytes]:
    return frozenset(chance.randbytes(8) for _ in range(2))


def _decimal(chance: Random, most: int, exponent: int) -> Decimal:
    """A number in DynamoDB's form: the last digit is not 0."""
    return Decimal(chance.randrange(most) * 10 + chance.randrange(1, 10)).scaleb(exponent)


ARTICLES = Kind("articles", COLUMNS, new_article, updated_article)
