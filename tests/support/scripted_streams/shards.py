"""Shards: where they come from, which keys they own, how their sequence numbers grow."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from zlib import crc32

from tests.support.scripted_streams.items import HASH_SPACE
from tests.support.scripted_streams.log import Log

NUMBER_BASE = 10**20
GENERATION_COUNTS = 1_000_000  # room for history written into a shard that has children already

Tree = int | Mapping[int, int | Iterable[int] | None]
Span = tuple[int, int]


@dataclass(slots=True)
class Shard:
    """One shard; `number` is what tests call it, `shard_id` its name on the wire.

    `span` is the half-open range of key hashes it owns, `counter` the upper part of the newest
    sequence number. `gone` answers as if it never existed, `unlisted` only hides it from listings,
    `shown_open` lists it open though it is closed, `ends_with_empty_page` says whether the end
    comes with the last records or in a further page.
    """

    number: int
    shard_id: str
    parent: "Shard | None"
    span: Span
    counter: int
    start_number: int
    closed_at: float | None = None
    end_number: int | None = None
    ends_with_empty_page: bool = False
    gone: bool = False
    unlisted: bool = False
    shown_open: bool = False
    trimmed_answer: str | None = None
    log: Log = field(default_factory=Log)

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    def next_number(self) -> int:
        self.counter += 1
        return sequence_number(self.number, self.counter)

    def close(self, now: float) -> None:
        if self.closed_at is None:
            self.closed_at = now
            self.end_number = self._ending()

    def reopen_ending(self) -> None:
        """After history was written into a closed shard its end lies behind that."""
        if self.closed_at is not None:
            self.end_number = self._ending()

    def _ending(self) -> int:
        """An empty shard ends where it started; odd ones end at a number no record has."""
        last = self.log.last_number
        if last is None:
            return self.start_number
        self.counter = max(self.counter, last // NUMBER_BASE)
        return sequence_number(self.number, self.counter + 1) if self.number % 2 else last


def sequence_number(shard: int, counter: int) -> int:
    """`counter * 10**20` and a lower part that goes up and down, as in AWS's own samples."""
    return counter * NUMBER_BASE + crc32(f"{shard}/{counter}".encode()) * 1009


def parents(tree: Tree) -> dict[int, int | None]:
    """Each shard's parent, parents first.

    A tree is a number of roots, or `{parent: child or children}`, or, when some value is None,
    `{child: parent or None}`.
    """
    if isinstance(tree, int):
        return dict.fromkeys(range(tree), None)
    found: dict[int, int | None] = {}
    if None in tree.values():
        for child, parent in tree.items():
            if not (parent is None or isinstance(parent, int)):
                raise ValueError(f"shard {child} has one parent at most, not {parent}")
            found[child] = parent
        return _parents_first(found)
    for parent, children in tree.items():
        found.setdefault(parent, None)
        for child in [children] if isinstance(children, int) else children or ():
            found[child] = parent
    return _parents_first(found)


def spans(parent_of: Mapping[int, int | None]) -> dict[int, Span]:
    """The hash range of each shard: siblings share their parent's equally."""
    found: dict[int, Span] = {}
    for shard, parent in parent_of.items():
        siblings = [other for other, its in parent_of.items() if its == parent]
        whole = (0, HASH_SPACE) if parent is None else found[parent]
        found[shard] = share(whole, siblings.index(shard), len(siblings))
    return found


def share(span: Span, index: int, count: int) -> Span:
    start, end = span
    width = end - start
    return start + width * index // count, start + width * (index + 1) // count


def _parents_first(parent_of: dict[int, int | None]) -> dict[int, int | None]:
    ordered: dict[int, int | None] = {}
    waiting = dict(sorted(parent_of.items()))
    while waiting:
        ready = [shard for shard, parent in waiting.items() if parent is None or parent in ordered]
        if not ready:
            raise ValueError(f"these shards have no root: {sorted(waiting)}")
        for shard in ready:
            ordered[shard] = waiting.pop(shard)
    return ordered
