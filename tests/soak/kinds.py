"""Kinds of load, each a table of its own: random changes, folded one by one as they are written.

What is folded is what PostgreSQL must hold: rows of every target and child table, entries of
histories, and open dead letters. Nothing of replicator's own is used.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any, ClassVar

from tests.support import families, shop
from tests.support.comparison import Rows
from tests.support.oracle import Column, DoesNotFit, Target
from tests.support.random_items import RandomItems
from tests.support.scripted_streams import Table

Item = dict[str, Any]
Letter = tuple[str, tuple[str, ...]]
"""A target, and the key of an item that it does not take."""
Entry = tuple[int, str, str, int | None, int | None, int]
"""Of a history: sequence number, operation, key, `n` before and after, epoch second of creation."""

ITEMS, STILL = 50, 8
"""Items that change, and items that are put once, so that only an operator mends their rows."""
DELETED = 0.12


class Kind(ABC):
    """One table of the deployment, called by its `name`."""

    name: ClassVar[str]
    targets: ClassVar[Mapping[str, Sequence[str]]]
    """The key columns of every target and child table."""
    key: ClassVar[Mapping[str, str]] = {"pk": "S"}

    def __init__(self, table: Table, seed: int) -> None:
        self.table = table
        self.written = 0
        self.damaged: set[str] = set()
        """Keys of rows that somebody made untrue, until they are mended."""
        self._chance = Random(seed)

    @staticmethod
    @abstractmethod
    def entry() -> dict[str, Any]:
        """What the configuration says of it, but for the place and the load."""

    @abstractmethod
    def change(self) -> None:
        """Write one more change, and fold it."""

    @abstractmethod
    def rows(self) -> Mapping[str, Rows]:
        """The rows that each target must hold."""

    @abstractmethod
    def letters(self) -> set[Letter]:
        """The dead letters that must be open, one of each item and target."""

    @abstractmethod
    def damage(self) -> list[str]:
        """Statements that make rows untrue, of which an operator's command mends all."""

    def _ghost(self) -> str:
        """A key that no item has."""
        key = f"ghost {self._chance.random()}"
        self.damaged.add(key)
        return key

    def history(self) -> list[Entry] | None:
        """The entries of `audit.{name}` in their order, where it has one."""
        return None

    def histories(self) -> Mapping[str, Sequence[tuple[Any, ...]]]:
        """The entries of histories that tell item, operation and changes; see `shop.by_item`."""
        return {}


class _Items(Kind):
    """Items told apart by one string, of which one target makes a row each.

    An item that the target does not take leaves the row as it was.
    """

    def __init__(self, table: Table, seed: int) -> None:
        super().__init__(table, seed)
        self.taken: dict[str, Item] = {}
        """The items as their rows show them."""
        self.refused: dict[str, Item] = {}
        """The items whose newest change the target did not take."""
        self._items: dict[str, Item] = {}
        self._numbers = count(1)
        for place in range(STILL):
            self._put(f"still {place}", self.made(next(self._numbers), still=True))

    @abstractmethod
    def made(self, number: int, *, still: bool = False) -> Item:
        """The attributes of an item; what is `still` fits its target."""

    def fits(self, item: Item) -> bool:
        """Whether the target takes the item."""
        del item
        return True

    def change(self) -> None:
        key = f"key {self._chance.randrange(ITEMS)}"
        if key in self._items and self._chance.random() < DELETED:
            self._delete(key)
        else:
            self._put(key, self.made(next(self._numbers)))

    def letters(self) -> set[Letter]:
        [target] = [name for name in self.targets if name == f"public.{self.name}"]
        return {(target, (key,)) for key in self.refused}

    def _put(self, key: str, attributes: Item) -> None:
        item = {**attributes, "pk": {"S": key}}
        before = self._items.get(key)
        self._items[key] = item
        at = int(time.time())
        self._fold(key, before, item, number=self.table.put(item, created_at=at), at=at)

    def _delete(self, key: str, *, expired: bool = False) -> None:
        before, at = self._items.pop(key), int(time.time())
        number = self.table.delete({"pk": {"S": key}}, created_at=at, expired=expired)
        self._fold(key, before, None, number=number, at=at, expired=expired)

    def _fold(
        self,
        key: str,
        before: Item | None,
        after: Item | None,
        *,
        number: str | None,
        at: int,
        expired: bool = False,
    ) -> None:
        del before, at, expired
        assert number is not None, "every change leaves a record"
        self.written += 1
        self.refused.pop(key, None)
        if after is None:
            self.taken.pop(key, None)
        elif self.fits(after):
            self.taken[key] = after
        else:
            self.refused[key] = after

    def _damage_of(self, *changes: str, still: bool = False) -> list[str]:
        """Each change made to a row, and another row deleted; `still`: to none that changes."""
        table = f"public.{self.name}"
        changed = [
            f"update {table} set {each} where pk = {self._victim(still)}" for each in changes
        ]
        return [*changed, f"delete from {table} where pk = {self._victim(still)}"]

    def _victim(self, still: bool = True) -> str:
        keys = [key for key in self.taken if not still or key.startswith("still")]
        key = self._chance.choice(keys)
        self.damaged.add(key)
        return f"'{key}'"


class Documents(_Items):
    """Document mode, with values of every type."""

    name = "documents"
    targets: ClassVar = {"public.documents": ("pk",)}

    def __init__(self, table: Table, seed: int) -> None:
        self._values = RandomItems(seed)
        super().__init__(table, seed)

    @staticmethod
    def entry() -> dict[str, Any]:
        return {"into": {"public.documents": {}}}

    def made(self, number: int, *, still: bool = False) -> Item:
        del still
        return {**self._values.named_values(3), "n": {"N": str(number)}}

    def rows(self) -> Mapping[str, Rows]:
        target = Target(self.key)
        for item in self.taken.values():
            target.put(item)
        return {"public.documents": target.rows}

    def damage(self) -> list[str]:
        return [
            *self._damage_of("""data = '{"n": 0}'"""),
            f"insert into public.documents values ('{self._ghost()}', '{{}}')",
        ]


class Changes(_Items):
    """A history: every change of an item beside its row."""

    name = "changes"
    targets: ClassVar = {"public.changes": ("pk",)}

    def __init__(self, table: Table, seed: int) -> None:
        self._entries: list[Entry] = []
        super().__init__(table, seed)

    @staticmethod
    def entry() -> dict[str, Any]:
        columns = {"n": "bigint", "note": "text"}
        return {"into": {"public.changes": {"columns": columns, "history": "audit.changes"}}}

    def made(self, number: int, *, still: bool = False) -> Item:
        del still
        return {"n": {"N": str(number)}, "note": {"S": f"change {number}"}}

    def rows(self) -> Mapping[str, Rows]:
        return {"public.changes": {(key,): _shown(key, item) for key, item in self.taken.items()}}

    def history(self) -> list[Entry]:
        return sorted(self._entries)

    def damage(self) -> list[str]:
        return self._damage_of("n = -n", "note = null")

    def _fold(
        self, key: str, before: Item | None, after: Item | None, *, number: str | None, **when: Any
    ) -> None:
        super()._fold(key, before, after, number=number, **when)
        operation = "remove" if after is None else "insert" if before is None else "modify"
        entry = (int(number or 0), operation, key, _n(before), _n(after), when["at"])
        self._entries.append(entry)


class Typed(_Items):
    """Typed columns; eight of a hundred items are refused, half by the mapping, half by a check.

    The check is PostgreSQL's, and takes every number below `limit`; what it refused is taken once
    the limit is higher. What the mapping refused is taken once it is `FIXED`, but for some.
    """

    name = "typed"
    targets: ClassVar = {"public.typed": ("pk",)}
    FITTING: ClassVar = (
        Column.of("n", "bigint"),
        Column.of("total", "numeric:12,2"),
        Column.of("at", "timestamptz"),
        Column.of("tags", "text[]"),
    )
    FIXED: ClassVar = (
        Column.of("n", "numeric"),
        Column.of("total", "numeric"),
        Column.of("at", "timestamptz"),
        Column.of("tags", "text[]"),
    )
    WRONG = ("n", "total", "at")
    """Attributes that a mapping refuses; what `at` holds is no time for any."""
    FIX = "alter table public.typed alter column n type numeric, alter column total type numeric"

    def __init__(self, table: Table, seed: int) -> None:
        self.columns = self.FITTING
        self.limit = STILL + len(self.WRONG) + 1
        super().__init__(table, seed)
        for wrong in self.WRONG:  # one of each is refused for as long as it goes on
            number = next(self._numbers)
            self._put(
                f"refused {wrong}", self.made(number, still=True) | self._wrong(wrong, number)
            )

    @staticmethod
    def entry(*, fixed: bool = False) -> dict[str, Any]:
        columns = {
            "n": "numeric" if fixed else "bigint",
            "total": "numeric" if fixed else "numeric(12,2)",
            "at": {"type": "timestamptz", "format": "epoch_ms"},
            "tags": "text[]",
        }
        return {"into": {"public.typed": {"columns": columns, "rest": "extra"}}}

    @property
    def check(self) -> str:
        """The condition that PostgreSQL puts to every row."""
        return f"trunc(n::numeric) % 25 <> 7 or n < {self.limit}"

    def raise_limit(self) -> int:
        """All that was written until now passes the check; how many are taken that were not."""
        self.limit = next(self._numbers)
        return self._look_again()

    def fix(self) -> int:
        """The mapping takes what it did not; how many are taken that were not."""
        self.columns = self.FIXED
        return self._look_again()

    def made(self, number: int, *, still: bool = False) -> Item:
        chance = self._chance
        item: Item = {
            "n": {"N": str(number)},
            "total": {"N": f"{chance.randrange(10**6)}.25"},
            "at": {"N": str(1_760_000_000_000 + number)},
            "tags": {"SS": sorted({f"tag {chance.randrange(9)}" for _ in range(3)})},
            "more": {"BOOL": chance.random() < 0.5},
        }
        if not still and chance.random() < 0.04:
            item |= self._wrong(chance.choice(self.WRONG), number)
        return item

    @staticmethod
    def _wrong(attribute: str, number: int) -> Item:
        values = {"n": {"N": f"{number}.5"}, "total": {"N": "1.005"}, "at": {"S": "at noon"}}
        return {attribute: values[attribute]}

    def fits(self, item: Item) -> bool:
        try:
            n = self._row(item)["n"]
        except DoesNotFit:
            return False
        return int(n) % 25 != 7 or n < self.limit

    def rows(self) -> Mapping[str, Rows]:
        return {"public.typed": {(key,): self._row(item) for key, item in self.taken.items()}}

    def damage(self) -> list[str]:
        return [
            *self._damage_of("total = null", "tags = '{}'", "extra = '{}'", still=True),
            f"insert into public.typed (pk, extra) values ('{self._ghost()}', '{{}}')",
        ]

    def _row(self, item: Item) -> dict[str, Any]:
        return Target(self.key, self.columns, rest="extra").row_of(item)

    def _look_again(self) -> int:
        good = {key: item for key, item in self.refused.items() if self.fits(item)}
        self.taken |= good
        for key in good:
            del self.refused[key]
        return len(good)


class Soft(_Items):
    """Soft deletions behind a filter: who is elsewhere, or deleted, keeps a row with the time."""

    name = "soft"
    targets: ClassVar = {"public.soft": ("pk",)}

    def __init__(self, table: Table, seed: int) -> None:
        self._left: dict[str, datetime] = {}
        super().__init__(table, seed)

    @staticmethod
    def entry() -> dict[str, Any]:
        return {
            "into": {
                "public.soft": {
                    "when": {"place": "here"},
                    "columns": {"n": "bigint", "note": "text", "place": "text"},
                    "on_delete": "soft",
                    "on_expire": "delete",
                }
            }
        }

    def made(self, number: int, *, still: bool = False) -> Item:
        here = still or self._chance.random() < 0.7
        return {
            "n": {"N": str(number)},
            "note": {"S": f"change {number}"},
            "place": {"S": "here" if here else "elsewhere"},
        }

    def change(self) -> None:
        key = f"key {self._chance.randrange(ITEMS)}"
        if key in self._items and self._chance.random() < DELETED:
            self._delete(key, expired=self._chance.random() < 0.3)
        else:
            self._put(key, self.made(next(self._numbers)))

    def rows(self) -> Mapping[str, Rows]:
        rows = {
            (key,): {
                **_shown(key, item),
                "place": item["place"]["S"],
                "_deleted_at": self._left.get(key),
            }
            for key, item in self.taken.items()
        }
        return {"public.soft": rows}

    def damage(self) -> list[str]:
        return self._damage_of("n = -n", "note = null", "_deleted_at = now()", still=True)

    def _fold(
        self,
        key: str,
        before: Item | None,
        after: Item | None,
        *,
        number: str | None,
        at: int,
        expired: bool = False,
    ) -> None:
        if expired or (after is not None and after["place"]["S"] == "here"):
            self._left.pop(key, None)
            super()._fold(key, before, after, number=number, at=at)
            return
        assert number is not None, "every change leaves a record"
        self.written += 1
        if key in self.taken:
            self._left[key] = datetime.fromtimestamp(at, UTC)


class Families(_Items):
    """Two child tables; some items have an element that fits neither."""

    name = "families"
    targets: ClassVar = {"public.families": ("pk",), **families.KEYS}

    @staticmethod
    def entry() -> dict[str, Any]:
        target = {"columns": {"n": "bigint"}, "children": families.CHILDREN}
        return {"into": {"public.families": target}}

    def made(self, number: int, *, still: bool = False) -> Item:
        item = families.made(self._chance, number)
        if still:
            item["lines"] = {"L": [{"M": {"sku": {"S": "still"}}}] * 2}
        elif self._chance.random() < 0.03:
            item["lines"] = {"L": [*item.get("lines", {"L": []})["L"], {"S": "no line"}]}
        return item

    def fits(self, item: Item) -> bool:
        return all("M" in line for line in item.get("lines", {"L": []})["L"])

    def rows(self) -> Mapping[str, Rows]:
        parents = {(key,): {"pk": key, "n": _n(item)} for key, item in self.taken.items()}
        return {"public.families": parents, **families.rows_of(self.taken)}

    def damage(self) -> list[str]:
        return [
            *self._damage_of("n = -n", still=True),
            f"delete from public.lines where pk = {self._victim()} and line = 1",
            f"update public.lines set sku = 'untrue' where pk = {self._victim()} and line = 0",
            f"insert into public.prices values ({self._victim()}, 'XXX', 1) on conflict do nothing",
            f"insert into public.lines values ('{self._ghost()}', 0, 'no parent')",
        ]


class Routes(Kind):
    """Routing into several tables by an attribute, with items that move between the routes."""

    name = "routes"
    targets: ClassVar = shop.KEYS
    key: ClassVar = {"pk": "S", "sk": "S"}

    def __init__(self, table: Table, seed: int) -> None:
        super().__init__(table, seed)
        self._shop = shop.Shop(seed)
        self._changes: Iterator[shop.Change] = self._shop.changes(10**12)
        while not all(self.rows().values()):  # a sweep deletes no target's last rows
            self.change()

    @staticmethod
    def entry() -> dict[str, Any]:
        personal = {"email": "hash", "city": "mask"}
        return {"personal": personal, "unmatched": "shop.others", "into": shop.into()}

    def change(self) -> None:
        pk, sk, _, after = next(self._changes)
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        number = self.table.delete(key) if after is None else self.table.put(after)
        assert number is not None, "every change leaves a record"
        self.written += 1

    def rows(self) -> Mapping[str, Rows]:
        return {name: self._shop.targets.get(name, {}) for name in self.targets}

    def letters(self) -> set[Letter]:
        return {(target, (pk, sk)) for target, pk, sk in self._shop.letters}

    def damage(self) -> list[str]:
        return [
            f"insert into shop.notes values ('{self._ghost()}', '-', 1, 'of no item')",
            f"insert into shop.others values ('{self._ghost()}', '-', '{{}}')",
        ]

    def histories(self) -> Mapping[str, Sequence[tuple[Any, ...]]]:
        return self._shop.histories


KINDS: tuple[type[Kind], ...] = (Documents, Changes, Typed, Soft, Families, Routes)


def _n(item: Item | None) -> int | None:
    return None if item is None else int(Decimal(item["n"]["N"]))


def _shown(key: str, item: Item) -> dict[str, Any]:
    return {"pk": key, "n": _n(item), "note": item["note"]["S"]}
