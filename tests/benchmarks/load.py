"""A load: seeded changes of orders, the pages that tell of them, and the rows they must end in."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Literal

from tests.benchmarks.orders import Order, new_order, updated
from tests.support.scripted_streams.items import Item
from tests.support.scripted_streams.records import Change, wire_record
from tests.support.scripted_streams.shards import NUMBER_BASE, sequence_number

SEED = 20261126
KEYS = 100_000
PAGE_RECORDS = 1000
ZIPF_EXPONENT = 1.1
Mix = Literal["mixed", "inserts", "hot"]
"""60/30/10 puts, updates and deletes over all keys; new keys alone; the same as the first with a
few keys that get most of the changes."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One change of one order; `number` is its key's."""

    number: int
    old: Order | None
    new: Order | None


@dataclass(slots=True)
class Load:
    """Changes in order and what they leave behind, beginning with the rows of `base`."""

    mix: Mix
    changes: list[Changed]
    ends: dict[int, Order] = field(repr=False)

    def pages(self, *, shards: int = 1, records: int = PAGE_RECORDS) -> list[list[bytes]]:
        """For every shard its pages, as the scripted source takes them: created now."""
        created_at = time.time()
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
    ) -> Iterator[tuple[list[Order], list[tuple[str, str]]]]:
        """What each batch of PAGE_RECORDS changes leaves: last orders and keys that are gone."""
        mine = [change for change in self.changes if change.number % parts == part]
        for start in range(0, len(mine), PAGE_RECORDS):
            last = {change.number: change for change in mine[start : start + PAGE_RECORDS]}
            orders = [change.new for change in last.values() if change.new is not None]
            gone = [
                (change.old.pk, change.old.sk)
                for change in last.values()
                if change.new is None and change.old is not None
            ]
            yield orders, gone


def base_orders(keys: int = KEYS) -> dict[int, Order]:
    """The rows that are there before, by number."""
    chance = Random(SEED)
    return {number: new_order(number, chance) for number in range(keys)}


def make_load(mix: Mix, records: int, base: dict[int, Order]) -> Load:
    """A load of so many records over these rows."""
    chance = Random(f"{SEED} {mix}")
    state = dict(base)
    changes = []
    for number in _numbers(mix, records, len(base), chance):
        old = state.get(number)
        new = _next(mix, number, old, chance)
        if new is None:
            del state[number]
        else:
            state[number] = new
        changes.append(Changed(number, old, new))
    return Load(mix, changes, state)


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
    starts = range(0, len(told), PAGE_RECORDS)
    return [b"[" + b",".join(told[start : start + PAGE_RECORDS]) + b"]" for start in starts]


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


def _next(mix: Mix, number: int, old: Order | None, chance: Random) -> Order | None:
    drawn = chance.random()
    if mix == "inserts" or old is None or drawn < 0.6:
        return new_order(number, chance)
    return updated(old, chance) if drawn < 0.9 else None


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
    old, new = (None if order is None else order.item() for order in (change.old, change.new))
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
