"""Random writes to one table, item by item in order, folded by the oracle as they are made."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from tests.support.oracle import Column, Item, Target
from tests.support.random_items import RandomItems, Value, keys
from tests.support.waiting import pace

LANES = 4
ROUND_MAX = 20
"""Writes in one request; DynamoDB takes 25."""
COLUMNS = (
    Column.of("change", "bigint"),
    Column.of("amount", "numeric"),
    Column.of("price", "numeric:12,2"),
    Column.of("many", "bigint"),
    Column.of("label", "text"),
    Column.of("flag", "boolean"),
    Column.of("raw", "bytea"),
    Column.of("names", "text[]"),
    Column.of("numbers", "numeric[]"),
    Column.of("blobs", "bytea[]"),
    Column.of("doc", "jsonb"),
    Column.of("placed", "timestamptz", "placedAt"),
    Column.of("city", "text", "address", "city"),
    Column.of("odd", "text", "a.b", 'c"d'),
)
CONFIGURED = {
    "change": "bigint",
    "amount": "numeric",
    "price": "numeric(12,2)",
    "many": "bigint",
    "label": "text",
    "flag": "boolean",
    "raw": "bytea",
    "names": "text[]",
    "numbers": "numeric[]",
    "blobs": "bytea[]",
    "doc": "jsonb",
    "placed": {"from": "placedAt", "type": "timestamptz", "format": "epoch_ms"},
    "city": {"from": "address.city", "type": "text"},
    "odd": {"from": '"a.b"."c""d"', "type": "text"},
}


class Traffic:
    """Writes of one table: what was written is in `targets`, and how often in `records`."""

    def __init__(
        self,
        client: Any,
        table: str,
        *,
        key: Mapping[str, str],
        targets: Sequence[Target],
        seed: int,
        key_count: int = 60,
    ) -> None:
        self.targets = targets
        self.records: Counter[str] = Counter()
        self._client = client
        self._table = table
        self._present: set[int] = set()
        self._numbers: Iterator[int] = count(1)
        self._keys = keys(key_count, key, seed)
        self._lanes = [RandomItems(seed * 100 + lane) for lane in range(LANES)]

    @property
    def written(self) -> int:
        """How many records the stream must hold."""
        return self.records.total()

    async def write(self, changes: int) -> None:
        """Make this many writes that leave a record."""
        goal = self.written + changes
        async with asyncio.TaskGroup() as lanes:
            for number, random in enumerate(self._lanes):
                lanes.create_task(self._lane(number, random, goal))

    async def write_until(self, stopping: asyncio.Event, *, pause_seconds: float = 0.05) -> None:
        """Write on and on, gently."""
        while not stopping.is_set():
            await self.write(LANES)
            await pace(pause_seconds)

    async def _lane(self, lane: int, random: RandomItems, goal: int) -> None:
        indexes = range(lane, len(self._keys), LANES)
        while (left := goal - self.written) > 0:
            size = min(left, random.random.randint(1, ROUND_MAX), len(indexes))
            chosen = random.random.sample(indexes, size)
            if random.random.random() < 0.3:
                await self._update(chosen[0], random)
            else:
                await self._write_together(chosen, random)

    async def _write_together(self, indexes: list[int], random: RandomItems) -> None:
        """Puts and deletes of different items in one request."""
        requests: list[dict[str, Any]] = []
        puts: list[tuple[int, Item]] = []
        deletes: list[int] = []
        for index in indexes:
            if index in self._present and random.random.random() < 0.25:
                deletes.append(index)
                requests.append({"DeleteRequest": {"Key": self._keys[index][0]}})
                continue
            item = self._item(random.random.choice(self._keys[index]), random)
            puts.append((index, item))
            requests.append({"PutRequest": {"Item": item}})
        self._count(deletes, puts)
        answer = await self._client.batch_write_item(RequestItems={self._table: requests})
        assert not answer["UnprocessedItems"]
        for index, item in puts:
            self._changed(index, item)
        for index in deletes:
            self._present.discard(index)
            for target in self.targets:
                target.delete(self._keys[index][0])

    def _count(self, deletes: list[int], puts: list[tuple[int, Item]]) -> None:
        self.records["remove"] += len(deletes)
        for index, _ in puts:
            self.records["modify" if index in self._present else "insert"] += 1

    def _item(self, key: Item, random: RandomItems) -> Item:
        others = random.named_values(random.random.randint(0, 4))
        others.pop("M", None)  # ministack refuses to update an item with an attribute of this name
        return {**others, **self._mapped(random), **key}

    async def _update(self, index: int, random: RandomItems) -> None:
        self.records["modify" if index in self._present else "insert"] += 1
        answer = await self._client.update_item(
            TableName=self._table,
            Key=self._keys[index][0],
            UpdateExpression="set #change = :change, #some = :some remove #label, #doc",
            ExpressionAttributeNames={
                "#change": "change",
                "#some": random.random.choice(("amount", "names", "flag", "unobserved of")),
                "#label": "label",
                "#doc": "doc",
            },
            ExpressionAttributeValues={":change": self._change(), ":some": random.value()},
            ReturnValues="ALL_NEW",
        )
        self._changed(index, answer["Attributes"])

    def _changed(self, index: int, item: Item) -> None:
        self._present.add(index)
        for target in self.targets:
            target.put(item)

    def _change(self) -> Value:
        return {"N": str(next(self._numbers))}

    def _mapped(self, random: RandomItems) -> dict[str, Value]:
        """What the columns are made of: mostly of the right type, sometimes absent."""
        draw = random.random
        usual = random.chosen(
            {
                "amount": lambda: {"N": random.number()},
                "price": lambda: {"N": random.money()},
                "many": lambda: {"N": str(draw.randint(-(2**63), 2**63 - 1))},
                "label": lambda: {"S": random.string()},
                "flag": lambda: {"BOOL": draw.random() < 0.5},
                "raw": lambda: {"B": random.binary()},
                "names": random.set_of_strings,
                "numbers": random.set_of_numbers,
                "blobs": random.set_of_binaries,
                "doc": random.value,
                "placedAt": lambda: {"N": str(draw.randint(-(10**12), 10**13))},
                "address": lambda: {"M": {"city": {"S": random.string()}}},
                "a.b": lambda: {"M": {'c"d': {"S": random.string()}, "e": random.value(1)}},
            },
            share=0.7,
        )
        changed = {name: random.mostly(value, changed=0.015) for name, value in usual.items()}
        return {**changed, "change": self._change()}
