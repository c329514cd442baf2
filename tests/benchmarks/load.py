"""A load: seeded changes of rows, the pages that tell of them, and the rows they must end in."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Literal

from tests.benchmarks.orders import ORDERS
from tests.benchmarks.rows import KEYS, Kind, Row
from tests.support.scripted_streams.items import Item
from tests.support.scripted_streams.records import Change, wire_record
from tests.support.scripted_streams.shards import NUMBER_BASE, sequence_number

SEED = 20261126
ZIPF_EXPONENT = 1.1
Mix = Literal["mixed", "inserts", "hot"]
"""60/30/10 puts, updates and deletes over all keys; new keys alone; the same as the first with a
few keys that get most of the changes."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One change of one row; `number` is its key's."""

    number: int
    old: Row | None
    new: Row | None


@dataclass(slots=True)
class Load:
    """Changes in order and what they leave behind, beginning with the rows of `base`."""

    mix: Mix
    changes: list[Changed]
    ends: dict[int, Row] = field(repr=False)
    kind: Kind = ORDERS

    def pages(self, *, shards: int = 1) -> list[list[bytes]]:
        """For every shard its pages, as the scripted source takes them: created now."""
        created_at, records = time.time(), self.kind.page_records
        found: list[list[bytes]] = []
        for shard in range(shards):
            mine = (change for change in self.changes if change.number % shards == shard)
            told = [
                wire(change, shard, counter + 2, created_at) for counter, change in enumerate(mine)
            ]
            found.append(
                [
                    b"[" + b",".join(told[start : start + records]) + b"]"
                    for start in range(0, len(told), records)
                ]
            )
        return found

    def batches(
        self, *, parts: int = 1, part: int = 0
    ) -> Iterator[tuple[list[Row], list[tuple[str, str]]]]:
        """What the changes of each page leave: last rows and keys that are gone."""
        mine = [change for change in self.changes if change.number % parts == part]
        records = self.kind.page_records
        for start in range(0, len(mine), records):
            last = {change.number: change for change in mine[start : start + records]}
            rows = [change.new for change in last.values() if change.new is not None]
            gone = [
                (change.old.pk, change.old.sk)
                for change in last.values()
                if change.new is None and change.old is not None
            ]
            yield rows, gone


def base_rows(kind: Kind, keys: int | None = None) -> dict[int, Row]:
    """The rows that are there before, by number."""
    chance = Random(SEED)
    return {number: kind.new(number, chance) for number in range(keys or kind.keys)}


def base_orders(keys: int = KEYS) -> dict[int, Row]:
    """The orders that are there before, by number."""
    return base_rows(ORDERS, keys)


def make_load(mix: Mix, records: int, base: dict[int, Row], kind: Kind = ORDERS) -> Load:
    """A load of so many records over these rows."""
    chance = Random(f"{SEED} {mix}")
    state = dict(base)
    changes = []
    for number in _numbers(mix, records, len(base), chance):
        old = state.get(number)
        new = _next(kind, mix, number, old, chance)
        if new is None:
            del state[number]
        else:
            state[number] = new
        changes.append(Changed(number, old, new))
    return Load(mix, changes, state, kind)


def repeated(pages: list[bytes], times: int) -> Iterator[bytes]:
    """The same pages again and again, with sequence numbers that go on; they end in the same rows.

    Only for one shard of single digit counters' width: numbers keep their length.
    """
    counter = 10_000_000
    pattern = re.compile(rb'"SequenceNumber":"[0-9]+"')

    def numbered(_: re.Match[bytes]) -> bytes:
        nonlocal counter
        counter += 1
        return b'"SequenceNumber":"%021d"' % (counter * NUMBER_BASE)

    for _ in range(times):
        for page in pages:
            yield pattern.sub(numbered, page)


def changed_pages(load: Load, change: Callable[[Item, int], None] | None) -> list[bytes]:
    """The pages of one shard, with items that the function changes by their numbers in place."""
    told = [wire(each, 0, counter + 2, 0.0, change) for counter, each in enumerate(load.changes)]
    records = load.kind.page_records
    starts = range(0, len(told), records)
    return [b"[" + b",".join(told[start : start + records]) + b"]" for start in starts]


def last_number(pages: list[bytes]) -> int:
    """The sequence number of the last record."""
    return int(re.findall(rb'"SequenceNumber":"([0-9]+)"', pages[-1])[-1])


def _numbers(mix: Mix, records: int, keys: int, chance: Random) -> list[int]:
    if mix == "inserts":
        return list(range(keys, keys + records))
    if mix == "mixed":
        return [chance.randrange(keys) for _ in range(records)]
    weights = list(accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, keys + 1)))
    return chance.choices(range(keys), cum_weights=weights, k=records)


def _next(kind: Kind, mix: Mix, number: int, old: Row | None, chance: Random) -> Row | None:
    drawn = chance.random()
    row: Row | None = None
    if mix == "inserts" or old is None or drawn < 0.6:
        row = kind.new(number, chance)
    elif drawn < 0.9:
        row = kind.updated(old, chance)
    return row


def wire(
    change: Changed,
    shard: int,
    counter: int,
    created_at: float | None = None,
    altered: Callable[[Item, int], None] | None = None,
) -> bytes:
    """The JSON of one record; created now unless said otherwise."""
    known = change.new or change.old
    assert known is not None
    old, new = (None if row is None else row.item() for row in (change.old, change.new))
    for image in (old, new):
        if image is not None and altered is not None:
            altered(image, change.number)
    return wire_record(
        Change(
            {"pk": {"S": known.pk}, "sk": {"S": known.sk}},
            old,
            new,
            time.time() if created_at is None else created_at,
        ),
        sequence_number=sequence_number(shard, counter),
        view="NEW_AND_OLD_IMAGES",
        region="us-east-1",
        shard_id=str(shard),
    )
