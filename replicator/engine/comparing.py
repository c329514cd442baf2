"""Compares items with the rows that every target has of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from replicator.core.attributes import item_key_json
from replicator.core.diff import (
    Difference,
    Expectation,
    FoundRow,
    MayBe,
    MustBe,
    expectation,
    judge,
)
from replicator.core.mapping import TableMapping, TargetMapping
from replicator.core.records import Image
from replicator.core.rows import Row
from replicator.engine.patience import patiently
from replicator.engine.ports import Rows


@dataclass(frozen=True, slots=True)
class Item:
    """An item as it is; `image` None: there is none with these keys."""

    identity: str
    keys: Image
    image: Image | None


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at an item and its row in one target found."""

    item: Item
    width: int
    """Columns of the key."""
    expected: Expectation
    found: FoundRow | None

    @property
    def difference(self) -> Difference | None:
        """Why they are not equal, at the moment of this look."""
        return judge(self.expected, self.found)

    @property
    def key_hash(self) -> int | None:
        """That of a row which is there, and not softly deleted."""
        found = self.found
        return None if found is None or found.deleted else found.key_hash

    @property
    def key(self) -> Row | None:
        """The key of the row; None when no row can have it."""
        if isinstance(self.expected, MustBe):
            return self.expected.row[: self.width]
        return self.expected.key

    @property
    def rejected(self) -> bool:
        """Whether the item does not fit the target."""
        return isinstance(self.expected, MayBe) and self.expected.rejected is not None


def item_of(image: Image, mapping: TableMapping) -> Item:
    """An item that was read."""
    if mapping.protection is not None:
        image = mapping.protection.image(image)
    keys = {name: image[name] for name, _ in mapping.source_key.attributes if name in image}
    return Item(item_key_json(keys, mapping.source_key), keys, image)


async def compare(rows: Rows, target: TargetMapping, items: Sequence[Item]) -> list[Look]:
    """Look at the rows of these items, after the items were read."""
    expected = [expectation(target, item.keys, item.image) for item in items]
    found = await patiently(lambda: rows.look(target, expected))
    width = len(target.table.key)
    return [
        Look(item, width, must, row) for item, must, row in zip(items, expected, found, strict=True)
    ]
