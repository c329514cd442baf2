"""Reads some items of a table, from many parts of it.

A table is a row of partitions in the order of the hashes, and a partition a row of items in the
order of the sort keys. Reading on from a few places would miss what stands far from them: a kind
of items that fills one long partition, or that comes late in each. So a sample has two steps.
Many small segments are as many places along the hashes, and a page of each costs one read unit,
however many small items it holds. Then the segments that have not ended, which are those with long
partitions, are skipped through: each page begins behind everything that begins as the last sort key
did. Whatever is one kind by the keys is met once in each partition, however long.
"""

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from replicator.core.snapshot.scan_responses import BYTES_PER_READ_UNIT, Segment
from replicator.core.stream_record import AttributeValue, Image
from replicator.core.table_spec import SourceKey
from replicator.core.values.dynamodb_json import decode_binary, decode_image
from replicator.engine.snapshot.read_rate_limit import PacedItems

SEGMENTS_MIN, SEGMENTS_MAX = 16, 256
ITEMS_OF_A_SEGMENT = 4
PAGE_ITEMS_MAX = 100
SKIPS_MIN = 64

_LAST = "\U0010ffff"
_BEGINNING = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*[#:|/@.~]|[A-Z][A-Z0-9_]*\Z")


@dataclass(slots=True)
class SampledItems:
    """Items of a table, read in `segments` and behind `skips` places in them; `whole`: all."""

    images: list[Image] = field(default_factory=list)
    segments: int = 0
    skips: int = 0
    whole: bool = False


async def sample_items(
    items: PacedItems, count: int, random: Random, source_key: SourceKey
) -> SampledItems:
    """About `count` items, more where they cost no more, or all where there are fewer."""
    segments = min(SEGMENTS_MAX, max(SEGMENTS_MIN, count // ITEMS_OF_A_SEGMENT))
    reading = _Reading(items, SampledItems(segments=segments))
    places: list[_Place] = [
        (Segment(number, segments), None) for number in random.sample(range(segments), segments)
    ]
    share = max(1, count // segments)
    while places and len(reading.sample.images) < count:
        places = [further for place in places if (further := await reading.page(place, share))]
        share = max(1, (count - len(reading.sample.images)) // max(1, len(places)))
    if not places:
        reading.sample.whole = True
    elif len(source_key.attributes) > 1:
        await _skip_through(reading, places, max(SKIPS_MIN, count // 4), source_key)
    return reading.sample


_Place = tuple[Segment, str | None]
"""Place to read on from: behind a key, or at the beginning of the segment."""


class _Reading:
    """Reads pages into a sample."""

    def __init__(self, items: PacedItems, sample: SampledItems) -> None:
        self.sample = sample
        self._items = items
        self._bytes = 0

    async def page(self, place: _Place, share: int) -> _Place | None:
        """Read a share, or as much as one read unit pays; None where the segment has ended."""
        segment, after = place
        mean = self._bytes // max(1, len(self.sample.images))
        free = min(PAGE_ITEMS_MAX, BYTES_PER_READ_UNIT // mean) if mean else 1
        page = await self._items.scan(segment, after=after, items_max=max(share, free))
        self._bytes += sum(map(len, page.images))
        self.sample.images += [decode_image(raw) for raw in page.images]
        return None if page.last_key is None else (segment, page.last_key)


async def _skip_through(
    reading: _Reading, places: Sequence[_Place], skips_max: int, source_key: SourceKey
) -> None:
    sort, _ = source_key.attributes[-1]
    while places:
        further: list[_Place] = []
        for segment, after in places:
            if reading.sample.skips == skips_max:
                return
            last: Image = json.loads(after or "{}")
            start = json.dumps({**last, sort: beyond(last[sort])})
            reading.sample.skips += 1
            if place := await reading.page((segment, start), 1):
                further.append(place)
        places = further


def beyond(value: AttributeValue) -> AttributeValue:
    """A sort key behind all that begin as the given one does: `ORDER#…`, a first letter, as many
    digits.

    No item needs to have the key.
    """
    match value:
        case {"S": str(text)}:
            beginning = _BEGINNING.match(text)
            return {"S": (beginning[0] if beginning else text[:1]) + _LAST}
        case {"N": str(text)} if text.startswith("-"):
            return {"N": "0"}
        case {"N": str(text)}:
            return {"N": f"1E{min(125, max(0, Decimal(text).adjusted() + 1))}"}
        case {"B": str(text)}:
            return {"B": b64encode(decode_binary(text)[:1] + b"\xff" * 16).decode()}
        case _:
            return value


async def read_item(items: PacedItems, keys: Image) -> Image | None:
    """One item as it is now; None when there is none."""
    found = await items.get([keys])
    return decode_image(found[0]) if found else None
