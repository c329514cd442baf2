"""Pages of a table's shards as JSON: unfinished ones, the worst first, then those that ended. Pure.

A table of 10,000 shards that roll over every four hours has 120,000 that ended within two days. A
page holds as many shards as a person or program can use at once; a `PageEnd` says where the next
page begins, by what the last shard of a page was, so that nothing is kept between two requests.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import nsmallest
from typing import Any

from replicator.core.status.deployment_status import (
    SCHEMA_VERSION,
    ShardState,
    ShardStatus,
    TableStatus,
)
from replicator.core.stream.source_kind import kind_of

SHARDS_MAX = 1000
"""Shards of one page: a quarter of a megabyte as JSON."""

_WORST_FIRST: tuple[ShardState, ...] = ("gap", "unowned", "waiting", "active", "done")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MARK = "~"
"""Separator between the parts of a place: no ARN and no shard id holds the character, and no URL
has to escape it."""


@dataclass(frozen=True, slots=True)
class EndedShard:
    """A shard of which every record is committed."""

    stream_arn: str
    shard_id: str
    parent_id: str | None
    done_at: datetime


@dataclass(frozen=True, slots=True)
class PageEnd:
    """The last shard of a page. `ended_at` None: it has not ended, and ended ones follow."""

    state: ShardState
    ended_at: datetime | None
    stream_arn: str
    shard_id: str

    @property
    def text(self) -> str:
        """The place as a parameter of a request."""
        ended = "" if self.ended_at is None else str((self.ended_at - _EPOCH) // _MICROSECOND)
        return _MARK.join((self.state, ended, self.stream_arn, self.shard_id))

    @classmethod
    def of(cls, text: str) -> "PageEnd":
        """The place that a request names; ValueError for one that is none."""
        state, ended, stream_arn, shard_id = text.split(_MARK, 3)
        found = next((each for each in _WORST_FIRST if each == state), None)
        if found is None:
            message = f"no state of a shard: {state!r}"
            raise ValueError(message)
        try:
            ended_at = _EPOCH + int(ended) * _MICROSECOND if ended else None
        except OverflowError as error:
            message = f"no time: {ended}"
            raise ValueError(message) from error
        return cls(found, ended_at, stream_arn, shard_id)


_MICROSECOND = timedelta(microseconds=1)


def open_page(
    lineage: Iterable[ShardStatus], after: PageEnd | None, *, shards_max: int = SHARDS_MAX
) -> list[ShardStatus]:
    """The next shards of those that have not ended, the worst first, as many as a page takes."""
    if after is not None and after.ended_at is not None:
        return []
    behind = (shard for shard in lineage if after is None or _order(shard) > _order_of_place(after))
    return nsmallest(shards_max, behind, key=_order)


def shards_document(
    table: TableStatus,
    unfinished: Sequence[ShardStatus],
    ended: Sequence[EndedShard],
    *,
    more: bool,
) -> dict[str, Any]:
    """One page, generation by generation, the newest generation first, shards by their ids, which
    tell when they began.

    `more`: there are shards behind those of the page.
    """
    by_id = {(each.shard_id, each.stream_arn): _ended(each) for each in ended}
    by_id |= {(each.shard_id, each.stream_arn): each for each in unfinished}
    generations: dict[str, list[ShardStatus]] = {}
    for name in sorted(by_id):
        shard = by_id[name]
        generations.setdefault(shard.stream_arn, []).append(shard)
    newest_first = sorted(
        generations.items(),
        key=lambda generation: kind_of(generation[0]).label(generation[0]),
        reverse=True,
    )
    return {
        "schema_version": SCHEMA_VERSION,
        "source": table.source,
        "generations": [
            {"stream_arn": arn, "current": arn == table.stream_arn, "shards": [*map(_shard, found)]}
            for arn, found in newest_first
        ],
        "next": _last(unfinished, ended).text if more else None,
    }


def _last(unfinished: Sequence[ShardStatus], ended: Sequence[EndedShard]) -> PageEnd:
    if ended:
        last = ended[-1]
        return PageEnd("done", last.done_at, last.stream_arn, last.shard_id)
    worst = max(unfinished, key=_order)
    return PageEnd(worst.state, None, worst.stream_arn, worst.shard_id)


def _order(shard: ShardStatus) -> tuple[int, str, str]:
    return _WORST_FIRST.index(shard.state), shard.stream_arn, shard.shard_id


def _order_of_place(place: PageEnd) -> tuple[int, str, str]:
    return _WORST_FIRST.index(place.state), place.stream_arn, place.shard_id


def _ended(shard: EndedShard) -> ShardStatus:
    return ShardStatus(shard.stream_arn, shard.shard_id, shard.parent_id, "done", None, None)


def _shard(shard: ShardStatus) -> dict[str, Any]:
    return {
        "shard_id": shard.shard_id,
        "parent_id": shard.parent_id,
        "state": shard.state,
        "owner": shard.owner,
        "lag_seconds": shard.lag_seconds,
    }
