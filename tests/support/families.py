"""Items with two child tables, one of a list and one of a map, and the rows they must become."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from random import Random
from typing import Any

from tests.support.comparison import Rows

Item = Mapping[str, Any]
CHILDREN = {
    "public.lines": {"from": "lines", "position": "line", "columns": {"sku": "text"}},
    "public.prices": {"from": "prices", "map_key": "currency", "value": {"amount": "numeric"}},
}
KEYS = {"public.lines": ("pk", "line"), "public.prices": ("pk", "currency")}


def made(chance: Random, number: int) -> dict[str, Any]:
    """The attributes of an item, some without a list, some with an empty one."""
    lines = [{"M": {"sku": {"S": f"sku {number}-{n}"}}} for n in range(chance.randint(0, 4))]
    currencies = chance.sample(["EUR", "USD", "GBP", "JPY"], chance.randint(0, 3))
    prices = {currency: {"N": str(number)} for currency in currencies}
    item: dict[str, Any] = {"n": {"N": str(number)}, "prices": {"M": prices}}
    return {**item, "lines": {"L": lines}} if lines or chance.random() < 0.5 else item


def rows_of(items: Mapping[str, Item]) -> dict[str, Rows]:
    """The rows of both child tables that there must be, from the items alone."""
    lines = [row for key, item in items.items() for row in _lines(key, item)]
    prices = [row for key, item in items.items() for row in _prices(key, item)]
    return {
        "public.lines": {(row["pk"], row["line"]): row for row in lines},
        "public.prices": {(row["pk"], row["currency"]): row for row in prices},
    }


def _lines(key: str, item: Item) -> Iterator[dict[str, Any]]:
    for place, line in enumerate(item.get("lines", {"L": []})["L"]):
        yield {"pk": key, "line": place, "sku": line["M"]["sku"]["S"]}


def _prices(key: str, item: Item) -> Iterator[dict[str, Any]]:
    for currency, price in item["prices"]["M"].items():
        yield {"pk": key, "currency": currency, "amount": Decimal(price["N"])}
