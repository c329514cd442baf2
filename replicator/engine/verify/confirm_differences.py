"""Confirms differences: compares again until equal, proved to differ, or known to be in flight."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from replicator.core.mapping.compile_mapping import TableMapping, TargetMapping
from replicator.core.mapping.item_keys import item_key_json
from replicator.core.snapshot.scan_responses import may_exist
from replicator.core.stream_record import Image
from replicator.core.values.dynamodb_json import decode_image
from replicator.core.values.row_builder import Row
from replicator.core.verify.results import Example, TargetResult
from replicator.core.verify.row_diff import (
    Difference,
    Expectation,
    FoundRow,
    Kind,
    MayBe,
    MustBe,
    expectation,
    judge,
)
from replicator.engine.backoff import with_retries
from replicator.engine.ports import Rows
from replicator.engine.snapshot.read_rate_limit import PacedItems
from replicator.engine.verify.pending_changes import Marks, PendingChanges


@dataclass(frozen=True, slots=True)
class CurrentItem:
    """An item as read now; `image` None: no item has the keys."""

    identity: str
    keys: Image
    image: Image | None


@dataclass(frozen=True, slots=True)
class RowComparison:
    """Result of comparing an item with the row in one target once."""

    item: CurrentItem
    width: int
    """Columns of the key."""
    expected: Expectation
    found: FoundRow | None

    @property
    def difference(self) -> Difference | None:
        """Reason why item and row are not equal, at the moment of the look."""
        return judge(self.expected, self.found)

    @property
    def key_hash(self) -> int | None:
        """The hash of the row's key; None where no row is there, or a softly deleted one."""
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
        """True when the item does not fit the target."""
        return isinstance(self.expected, MayBe) and self.expected.rejected is not None


def item_of(image: Image, mapping: TableMapping) -> CurrentItem:
    """An item that was read."""
    if mapping.protection is not None:
        image = mapping.protection.image(image)
    keys = {name: image[name] for name, _ in mapping.source_key.attributes if name in image}
    return CurrentItem(item_key_json(keys, mapping.source_key), keys, image)


async def compare(
    rows: Rows, target: TargetMapping, items: Sequence[CurrentItem]
) -> list[RowComparison]:
    """Read the rows of the given items, after the items were read."""
    expected = [expectation(target, item.keys, item.image) for item in items]
    found = await with_retries(lambda: rows.compare(target, expected))
    width = len(target.table.key)
    return [
        RowComparison(item, width, must, row)
        for item, must, row in zip(items, expected, found, strict=True)
    ]


CANDIDATES_MAX = 5000
"""Differences that are kept until they are checked again."""
CONFIRMATIONS = 2
"""Looks in a row, each at rest, that a difference must outlive: a stream shows changes late."""
ROUNDS_MAX = 6
"""Rounds after which an item that goes on changing is called in flight."""
STREAM_SECONDS_MAX = 120.0
EXAMPLES_MAX = 1000
PROVED_MAX = 100_000
"""Keys that one repair may have; beyond, a snapshot is the better way."""
KEYS_PER_READ = 100


@dataclass(slots=True)
class Tally:
    """The counts of one target."""

    compared: int = 0
    rejected: int = 0
    in_flight: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    older_mapping: int = 0
    examples: list[Example] = field(default_factory=list)
    proved: list[Image] = field(default_factory=list)
    """Keys of the first proved differences, for a repair."""

    def count(self, look: RowComparison) -> None:
        """Count an item of the scan that was checked."""
        self.compared += isinstance(look.expected, MustBe)
        self.rejected += look.rejected

    def differs(self, item: CurrentItem, difference: Difference) -> None:
        """Count a proved difference."""
        self.kinds[difference.kind] += 1
        self.older_mapping += difference.older_mapping
        if len(self.proved) < PROVED_MAX:
            self.proved.append(item.keys)
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(Example(item.identity, difference))

    def result(self, source: str, target: str) -> TargetResult:
        """The counts, with examples in the order of the keys."""
        examples = sorted(self.examples, key=lambda example: example.item_key)
        return TargetResult(
            source,
            target,
            compared=self.compared,
            missing=self.kinds["missing"],
            extra=self.kinds["extra"],
            different=self.kinds["different"],
            in_flight=self.in_flight,
            rejected=self.rejected,
            examples=tuple(examples),
            older_mapping=self.older_mapping,
        )


@dataclass(slots=True)
class Candidate:
    """An item that differed in a target. `confirmed`: so many checks at rest that it outlived."""

    target: TargetMapping
    tally: Tally
    item: CurrentItem
    confirmed: int = 0


class DifferenceConfirmation:
    """Decides about differences, many at a time.

    A difference is real when the position of every shard was read, then the item, then its row,
    and the stream holds no change of the item behind those positions: nothing was on its way.
    This needs no worker to run, and no clock.
    """

    def __init__(
        self, mapping: TableMapping, *, items: PacedItems, rows: Rows, unapplied: PendingChanges
    ) -> None:
        self._mapping = mapping
        self._items = items
        self._rows = rows
        self._unapplied = unapplied
        self._candidates: dict[tuple[str, str], Candidate] = {}
        self._settling = asyncio.Lock()

    async def add(self, candidates: Iterable[Candidate]) -> None:
        """Keep differences for another look; many are settled at once."""
        for candidate in candidates:
            self._candidates[candidate.target.name, candidate.item.identity] = candidate
        if len(self._candidates) >= CANDIDATES_MAX:
            await self.settle()

    async def settle(self) -> None:
        """Decide about every difference that is kept."""
        async with self._settling:
            left, self._candidates = list(self._candidates.values()), {}
            before: Marks | None = None
            for _ in range(ROUNDS_MAX):
                if not left:
                    return
                marks = await with_retries(self._unapplied.marks)
                left = await self._compare_again(left, marks)
                if marks == before and not any(candidate.confirmed for candidate in left):
                    break  # nothing moves: nobody applies what is on its way
                before = marks
            for candidate in left:
                candidate.tally.in_flight += 1

    async def read(self, keys: Sequence[Image]) -> list[CurrentItem]:
        """The present state of the given items, at most a hundred."""
        source_key = self._mapping.source_key
        asked = [key for key in keys if may_exist(key, source_key)]
        images = [decode_image(raw) for raw in await self._items.get(asked)]
        found = {item.identity: item for item in (item_of(i, self._mapping) for i in images)}
        identities = [item_key_json(key, source_key) for key in keys]
        return [
            found.get(identity) or CurrentItem(identity, key, None)
            for identity, key in zip(identities, keys, strict=True)
        ]

    async def _compare_again(self, candidates: list[Candidate], marks: Marks) -> list[Candidate]:
        """One round: those that still differ and are not decided."""
        differing = await self._still_different(candidates)
        if not differing:
            return []
        touched = await self._unapplied.touched(
            {candidate.item.identity for candidate, _ in differing},
            marks,
            seconds_max=STREAM_SECONDS_MAX,
        )
        left, proved = [], []
        for candidate, difference in differing:
            at_rest = candidate.item.identity not in touched
            candidate.confirmed = candidate.confirmed + 1 if at_rest else 0
            if candidate.confirmed == CONFIRMATIONS:
                proved.append((candidate, difference))
            else:
                left.append(candidate)
        await self._tally(proved)
        return left

    async def _tally(self, proved: list[tuple[Candidate, Difference]]) -> None:
        """Count differences, but for items that are dead letters because PostgreSQL refused the
        row.

        A newer change of an item closes the item's dead letters, so an open one is of the item as
        it is.
        """
        by_target: dict[str, list[Candidate]] = defaultdict(list)
        for candidate, _ in proved:
            by_target[candidate.target.name].append(candidate)
        refused: set[tuple[str, str]] = set()
        for name, alike in by_target.items():
            for start in range(0, len(alike), KEYS_PER_READ):
                some = [each.item.identity for each in alike[start : start + KEYS_PER_READ]]
                ask = partial(self._rows.dead_lettered, alike[0].target, some)
                refused |= {(name, identity) for identity in await with_retries(ask)}
        for candidate, difference in proved:
            place = candidate.target.name, candidate.item.identity
            if place in refused and difference.kind != "extra":
                candidate.tally.rejected += 1
            else:
                candidate.tally.differs(candidate.item, difference)

    async def _still_different(
        self, candidates: list[Candidate]
    ) -> list[tuple[Candidate, Difference]]:
        found: list[tuple[Candidate, Difference]] = []
        by_target: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            by_target.setdefault(candidate.target.name, []).append(candidate)
        for alike in by_target.values():
            for start in range(0, len(alike), KEYS_PER_READ):
                some = alike[start : start + KEYS_PER_READ]
                items = await self.read([candidate.item.keys for candidate in some])
                looks = await compare(self._rows, some[0].target, items)
                for candidate, look in zip(some, looks, strict=True):
                    if (difference := look.difference) is not None:
                        found.append((candidate, difference))
        return found
