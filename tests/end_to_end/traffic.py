"""Random writes to one table, item by item in order, folded by the oracle as they are made."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from tests.support.oracle import Column, Item, Target
from tests.support.random_items import RandomItems, Value, keys

LANES = 6
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

    async def write_until(self, stopping: asyncio.Event, *, pause_seconds: float = 0.02) -> None:
        """Write on and on, gently."""
        while not stopping.is_set():
            await self.write(LANES)
            await asyncio.sleep(pause_seconds)

    async def _lane(self, lane: int, random: RandomItems, goal: int) -> None:
        while self.written < goal:
            index = random.random.randrange(lane, len(self._keys), LANES)
            key = random.random.choice(self._keys[index])
            chance = random.random.random()
            if chance < 0.2:
                await self._delete(index, key)
            elif chance < 0.4:
                await self._update(index, key, random)
            else:
                await self._put(index, key, random)

    async def _put(self, index: int, key: Item, random: RandomItems) -> None:
        event = "modify" if index in self._present else "insert"
        item = {**random.named_values(random.random.randint(0, 4)), **self._mapped(random), **key}
        self.records[event] += 1
        await self._client.put_item(TableName=self._table, Item=item)
        self._changed(index, item)

    async def _update(self, index: int, key: Item, random: RandomItems) -> None:
        event = "modify" if index in self._present else "insert"
        self.records[event] += 1
        answer = await self._client.update_item(
            TableName=self._table,
            Key=key,
            UpdateExpression="set #change = :change, #some = :some remove #label, #doc",
            ExpressionAttributeNames={
                "#change": "change",
                "#some": random.random.choice(("amount", "names", "flag", "unheard of")),
                "#label": "label",
                "#doc": "doc",
            },
            ExpressionAttributeValues={":change": self._change(), ":some": random.value()},
            ReturnValues="ALL_NEW",
        )
        self._changed(index, answer["Attributes"])

    async def _delete(self, index: int, key: Item) -> None:
        if index not in self._present:
            return
        self.records["remove"] += 1
        await self._client.delete_item(TableName=self._table, Key=key)
        self._present.discard(index)
        for target in self.targets:
            target.delete(key)

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
                "doc": lambda: random.value(),
                "placedAt": lambda: {"N": str(draw.randint(-(10**12), 10**13))},
                "address": lambda: {"M": {"city": {"S": random.string()}}},
                "a.b": lambda: {"M": {'c"d': {"S": random.string()}, "e": random.value(1)}},
            },
            share=0.7,
        )
        changed = {name: random.mostly(value, changed=0.015) for name, value in usual.items()}
        return {**changed, "change": self._change()}
