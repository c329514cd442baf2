"""Reads some items of a table, from several parts of it."""

from random import Random

from replicator.core.records import Image
from replicator.core.snapshot.scan_pages import Segment
from replicator.core.values.attributes import decode_image
from replicator.engine.snapshot.rate_limit import PacedItems

PARTS = 16


async def sample_items(items: PacedItems, count: int, random: Random) -> list[Image]:
    """About `count` items, or all where there are fewer; parts that come first fill up last."""
    found: list[Image] = []
    places: list[tuple[Segment, str | None]] = [
        (Segment(number, PARTS), None) for number in random.sample(range(PARTS), PARTS)
    ]
    while places and len(found) < count:
        further: list[tuple[Segment, str | None]] = []
        share = max(1, (count - len(found)) // len(places))
        for segment, after in places:
            if len(found) >= count:
                break
            page = await items.scan(segment, after=after, items_max=share)
            found += [decode_image(raw) for raw in page.images]
            if page.last_key is not None:
                further.append((segment, page.last_key))
        places = further
    return found


async def read_item(items: PacedItems, keys: Image) -> Image | None:
    """One item as it is now; None when there is none."""
    found = await items.get([keys])
    return decode_image(found[0]) if found else None
