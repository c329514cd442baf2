"""A shop in one DynamoDB table: six kinds of items, and the rows they must become.

Nothing of replicator's own is used: every change is folded into plain dictionaries.
"""

import hashlib
import hmac
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import asyncpg

Item = dict[str, Any]
Change = tuple[str, str, Item | None, Item | None]
"""Partition key, sort key, the item before and after."""
Rows = dict[tuple[Any, ...], dict[str, Any]]

KEYS = {
    "shop.customers": ("pk", "sk"),
    "shop.orders": ("customer", "year", "number"),
    "shop.order_lines": ("customer", "year", "number", "line"),
    "shop.notes": ("pk", "sk"),
    "shop.open_tasks": ("pk", "sk"),
    "shop.big_products": ("pk", "sk"),
    "shop.prices": ("pk", "sk", "currency"),
    "shop.others": ("pk", "sk"),
}
"""The key columns of each target and child table."""
SALT = "a salt that is long enough"
CUSTOMERS = 40
UNFIT = 0.02
"""How many changes hold a value that their target refuses."""


def into() -> dict[str, Any]:
    """The targets, as a configuration says them."""
    targets: dict[str, Any] = {
        "shop.customers": {
            "when": {"sk": "PROFILE"},
            "columns": {"n": "bigint", "email": "text"},
            "rest": "extra",
        },
        "shop.orders": {
            "when": {"sk": {"begins_with": "ORDER#"}},
            "split": {"pk": "CUSTOMER#{customer}", "sk": "ORDER#{year}#{number}"},
            "key": {
                "customer": {"part": "customer"},
                "year": {"part": "year", "type": "integer"},
                "number": {"part": "number", "type": "bigint"},
            },
            "columns": {"n": "bigint", "status": {"type": "text", "default": "new"}},
            "rest": "extra",
            "history": "audit.orders",
            "children": {
                "shop.order_lines": {
                    "from": "lines",
                    "position": "line",
                    "columns": {"sku": {"type": "text", "transform": "lower"}},
                    "rest": "more",
                }
            },
        },
        "shop.notes": {
            "when": {"kind": "note"},
            "columns": {"n": "bigint", "text": {"type": "text", "transform": "trim"}},
        },
        "shop.open_tasks": {
            "when": {"kind": "task", "done": {"not": True}},
            "columns": {"n": "bigint", "origin": {"constant": "shop", "type": "text"}},
            "history": "audit.tasks",
        },
        "shop.big_products": {
            "when": {"all": [{"kind": "product"}, {"stock": {"gte": 50}}]},
            "columns": {"n": "bigint", "stock": "integer"},
            "children": {
                "shop.prices": {
                    "from": "prices",
                    "map_key": "currency",
                    "value": {"amount": "numeric(12,2)"},
                }
            },
        },
        "shop.others": {},
    }
    return targets


@dataclass(slots=True)
class Shop:
    """The table as it is, and every target as it must be."""

    seed: int
    items: dict[tuple[str, str], Item] = field(default_factory=dict)
    targets: dict[str, Rows] = field(default_factory=dict)
    histories: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    letters: set[tuple[str, str, str]] = field(default_factory=set)
    """Open dead letters: target and key of the item."""
    number: int = 0

    def changes(self, count: int) -> Iterator[Change]:
        """Make so many changes, each folded as it is made."""
        chance = random.Random(self.seed)
        for self.number in range(1, count + 1):
            pk, sk = self._place(chance)
            before = self.items.get((pk, sk))
            if before is not None and chance.random() < 0.12:
                after = None
                del self.items[pk, sk]
            else:
                after = {"pk": {"S": pk}, "sk": {"S": sk}, **self._attributes(chance, sk)}
                self.items[pk, sk] = after
            self._fold(pk, sk, before, after)
            yield pk, sk, before, after

    def _place(self, chance: random.Random) -> tuple[str, str]:
        customer = f"CUSTOMER#{chance.randrange(CUSTOMERS)}"
        match chance.choices(("PROFILE", "ORDER", "ITEM"), (1, 4, 6))[0]:
            case "PROFILE":
                return customer, "PROFILE"
            case "ORDER":
                return customer, f"ORDER#{chance.randint(2020, 2026)}#{chance.randrange(9)}"
            case _:
                return f"ITEM#{chance.randrange(CUSTOMERS * 3)}", "-"

    def _attributes(self, chance: random.Random, sk: str) -> Item:
        n = "1.5" if chance.random() < UNFIT else str(self.number)
        common: Item = {"n": {"N": n}, "change": {"N": str(self.number)}}
        if sk == "PROFILE":
            email = f"user{chance.randrange(99)}@example.org"
            return {**common, "email": {"S": email}, "city": {"S": "London"}}
        if sk != "-":
            lines: list[dict[str, Any]] = [
                {"M": {"sku": {"S": f"SKU-{line}-{self.number}"}, "qty": {"N": str(line)}}}
                for line in range(chance.randint(0, 3))
            ]
            if chance.random() < 0.02:
                lines.append({"S": "not a line"})
            status = {"status": {"S": chance.choice(["paid", "sent"])}}
            return {**common, "lines": {"L": lines}, **(status if chance.random() < 0.7 else {})}
        kind = chance.choice(["note", "task", "task", "product", "product", "poster"])
        prices = {c: {"N": f"{chance.randrange(9999)}.5"} for c in ("EUR", "USD", "GBP")}
        for currency in chance.sample(sorted(prices), chance.randint(0, 3)):
            del prices[currency]
        return {
            **common,
            "kind": {"S": kind},
            "text": {"S": f" text {self.number} "},
            "done": {"BOOL": chance.random() < 0.4},
            "stock": {"N": str(chance.randrange(100))},
            "prices": {"M": prices},
        }

    # what must become of it

    def _fold(self, pk: str, sk: str, before: Item | None, after: Item | None) -> None:
        operation = "remove" if after is None else "insert" if before is None else "modify"
        entry = (pk, sk, operation, _change(before), _change(after))
        was, now = _route(sk, before), _route(sk, after)
        self.letters = {letter for letter in self.letters if letter[1:] != (pk, sk)}
        for target, history in (("orders", "audit.orders"), ("open_tasks", "audit.tasks")):
            if target in (was, now):
                self.histories.setdefault(history, []).append(entry)
        if was is not None and was != now:
            self._remove(was, pk, sk)
        if after is not None and now is not None:
            self._put(now, pk, sk, after)

    def _remove(self, target: str, pk: str, sk: str) -> None:
        key = _key(target, pk, sk)
        self.targets.setdefault(f"shop.{target}", {}).pop(key, None)
        for child in _CHILDREN.get(target, ()):
            rows = self.targets.setdefault(child, {})
            for place in [place for place in rows if place[: len(key)] == key]:
                del rows[place]

    def _put(self, target: str, pk: str, sk: str, item: Item) -> None:
        key = _key(target, pk, sk)
        fits = target == "others" or item["n"]["N"] != "1.5"
        if target == "orders":
            fits = fits and all("M" in line for line in item["lines"]["L"])
        if not fits:
            self.letters.add((f"shop.{target}", pk, sk))
            return
        self._remove(target, pk, sk)
        self.targets[f"shop.{target}"][key] = _row(target, key, item)
        for place, row in _children(target, key, item):
            self.targets[_CHILDREN[target][0]][place] = row


_CHILDREN = {"orders": ("shop.order_lines",), "big_products": ("shop.prices",)}


def _change(item: Item | None) -> int | None:
    return None if item is None else int(item["change"]["N"])


def _route(sk: str, item: Item | None) -> str | None:
    if item is None:
        return None
    if sk == "PROFILE":
        return "customers"
    if sk != "-":
        return "orders"
    kind = item["kind"]["S"]
    if kind == "note":
        return "notes"
    if kind == "task" and not item["done"]["BOOL"]:
        return "open_tasks"
    if kind == "product" and int(item["stock"]["N"]) >= 50:
        return "big_products"
    return "others"


def _key(target: str, pk: str, sk: str) -> tuple[Any, ...]:
    if target != "orders":
        return pk, sk
    _, year, number = sk.split("#")
    return pk.partition("#")[2], int(year), int(number)


def _row(target: str, key: tuple[Any, ...], item: Item) -> dict[str, Any]:
    n, change = int(Decimal(item["n"]["N"])), Decimal(item["change"]["N"])
    match target:
        case "customers":
            secret = hmac.new(SALT.encode(), item["email"]["S"].encode(), hashlib.sha256)
            extra = {"change": change, "city": "***"}
            found: dict[str, Any] = {"n": n, "email": secret.hexdigest(), "extra": extra}
        case "orders":
            status = item.get("status", {"S": "new"})["S"]
            found = {"n": n, "status": status, "extra": {"change": change}}
        case "notes":
            found = {"n": n, "text": item["text"]["S"].strip()}
        case "open_tasks":
            found = {"n": n, "origin": "shop"}
        case "big_products":
            found = {"n": n, "stock": int(item["stock"]["N"])}
        case _:
            prices = {name: Decimal(price["N"]) for name, price in item["prices"]["M"].items()}
            found = {
                "data": {
                    "n": Decimal(item["n"]["N"]),
                    "change": change,
                    "kind": item["kind"]["S"],
                    "text": item["text"]["S"],
                    "done": item["done"]["BOOL"],
                    "stock": Decimal(item["stock"]["N"]),
                    "prices": prices,
                }
            }
    names = ("customer", "year", "number") if target == "orders" else ("pk", "sk")
    return dict(zip(names, key, strict=True)) | found


def _children(
    target: str, key: tuple[Any, ...], item: Item
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    if target == "orders":
        for place, line in enumerate(item["lines"]["L"]):
            members = line["M"]
            row = {
                **dict(zip(("customer", "year", "number"), key, strict=True)),
                "line": place,
                "sku": members["sku"]["S"].lower(),
                "more": {"qty": Decimal(members["qty"]["N"])},
            }
            yield (*key, place), row
    if target == "big_products":
        for currency, price in item["prices"]["M"].items():
            row = {"pk": key[0], "sk": key[1], "currency": currency, "amount": Decimal(price["N"])}
            yield (*key, currency), row


# what the target holds


async def read_history(dsn: str, table: str) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """What happened to each item, in the order of the stream."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(f"select * from {table} order by sequence_number")
    finally:
        await connection.close()
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        keys = json.loads(row["keys"])
        images = [row["old_image"], row["new_image"]]
        changes = [None if image is None else json.loads(image)["change"] for image in images]
        found[keys["pk"], keys["sk"]].append((row["operation"], *changes))
    return found


def by_item(entries: Iterable[tuple[Any, ...]]) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """The entries of a history that there must be, of each item."""
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = defaultdict(list)
    for pk, sk, *entry in entries:
        found[pk, sk].append(tuple(entry))
    return found
