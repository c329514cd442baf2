"""One stream of a table: its shards, who owns a key, and what time does to them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal
from zlib import crc32

from tests.support.scripted_streams.errors import not_found
from tests.support.scripted_streams.shards import (
    GENERATION_COUNTS,
    Shard,
    Span,
    sequence_number,
    share,
)

RETENTION_SECONDS = 24 * 3600
Children = Literal["right", "nothing", "everything", "itself"]


@dataclass(slots=True)
class Stream:
    """`children_answer` is how CHILD_SHARDS lies, `listing_tail` adds an empty last page.

    `shards` are in the order of their creation, which is also the order of their ids.
    """

    arn: str
    label: str
    view: str
    created_at: float
    now: Callable[[], float]
    shards: dict[int, Shard] = field(default_factory=dict)
    status: str = "ENABLED"
    disabled_at: float | None = None
    children_answer: Children = "right"
    listing_tail: bool = False
    _last_id: int = 0

    def add(self, number: int, *, parent: Shard | None, span: Span, counter: int) -> Shard:
        """A new open shard; `counter` is the upper part of its starting sequence number."""
        self._last_id = max(self._last_id + 1, int(self.now() * 1000))
        suffix = crc32(f"{self.arn}/{number}".encode())
        shard = Shard(
            number=number,
            shard_id=f"shardId-{self._last_id:020d}-{suffix:08x}",
            parent=parent,
            span=span,
            counter=counter,
            start_number=sequence_number(number, counter),
            ends_with_empty_page=number % 2 == 1,
        )
        self.shards[number] = shard
        return shard

    def plant(
        self,
        numbered: dict[int, int],
        parent_of: dict[int, int | None],
        spans: dict[int, Span],
        *,
        counter: int,
    ) -> None:
        """Add a whole tree, parents first; whoever has children is closed and empty."""
        for name, parent in parent_of.items():
            above = None if parent is None else self.shards[numbered[parent]]
            start = counter if above is None else above.counter + GENERATION_COUNTS
            self.add(numbered[name], parent=above, span=spans[name], counter=start)
        for parent in set(parent_of.values()) - {None}:
            self.shards[numbered[parent]].close(self.now())  # type: ignore[index]

    def divide(self, shard: Shard, numbers: Iterable[int]) -> None:
        """Children that share the shard's span; it stays open until it is closed."""
        children = list(numbers)
        for index, number in enumerate(children):
            span = share(shard.span, index, len(children))
            self.add(number, parent=shard, span=span, counter=shard.counter + 2)

    def owner_of(self, key_hash: int) -> Shard:
        """The open shard a write goes to: a parent keeps its keys until it is closed."""
        for shard in self.shards.values():
            if shard.is_open and shard.span[0] <= key_hash < shard.span[1]:
                return shard
        raise LookupError("no open shard owns this key: it was closed without children")

    def open_shards(self) -> list[Shard]:
        return [shard for shard in self.shards.values() if shard.is_open]

    def children_of(self, shard: Shard) -> list[Shard]:
        return [child for child in self.shards.values() if child.parent is shard]

    def find(self, shard_id: str) -> Shard:
        """Raise ResourceNotFound for a shard that never was or is gone."""
        for shard in self.shards.values():
            if shard.shard_id == shard_id and not shard.gone:
                return shard
        raise not_found(f"Shard: {shard_id} in stream {self.arn}")

    def disable(self) -> None:
        self.status = "DISABLED"
        self.disabled_at = self.now()
        for shard in self.open_shards():
            shard.close(self.now())

    def trim(self, *, trimmed_shards: str) -> None:
        """Forget old records; closed shards older than the retention answer `trimmed_shards`.

        That is `vanish`, `not_found` or `trimmed` (both still listed), or `stay`.
        """
        border = self.now() - RETENTION_SECONDS
        for shard in self.shards.values():
            shard.log.trim_before(border)
            if shard.closed_at is not None and shard.closed_at < border:
                forget(shard, trimmed_shards)

    @property
    def has_left(self) -> bool:
        """A disabled stream is readable for as long as its records live."""
        return self.disabled_at is not None and self.disabled_at < self.now() - RETENTION_SECONDS


def forget(shard: Shard, answer: str) -> None:
    """Make a shard what trimming leaves of it: see Stream.trim."""
    match answer:
        case "vanish":
            shard.gone = True
        case "not_found":
            shard.trimmed_answer = "ResourceNotFoundException"
        case "trimmed":
            shard.trimmed_answer = "TrimmedDataAccessException"
        case "stay":
            shard.trimmed_answer = None
        case _:
            raise ValueError(f"a trimmed shard cannot {answer!r}")
