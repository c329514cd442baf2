"""Order of shards: parents before children, and no shard twice. Pure."""

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Generic, TypeVar

from replicator.core.stream.table_and_shard_facts import ListedShard, PolledShard, ShardFacts

FINISHED_SHARDS_KEPT = timedelta(hours=48)
"""Twice the retention: a listing may show a shard for a while after the last record."""
CHILDREN_APPEAR_WITHIN = timedelta(minutes=1)

ShardName = tuple[str, str]
"""Stream ARN and shard id: emulators give every stream the same shard id."""
S = TypeVar("S", bound=PolledShard)


def by_name(shards: Iterable[S]) -> dict[ShardName, S]:
    """Shards by stream and id."""
    return {(shard.stream_arn, shard.shard_id): shard for shard in shards}


def is_ready(shard: S, shards: Mapping[ShardName, S]) -> bool:
    """True when a worker may claim the shard: unfinished, and nothing of the parent is unread.

    A parent that is not on record was finished and cleaned away: one that is owed never is.
    """
    if shard.state not in ("waiting", "active"):
        return False
    for parent_id in (shard.parent_id, shard.adjacent_parent_id):
        parent = None if parent_id is None else shards.get((shard.stream_arn, parent_id))
        if parent is not None and not parent.finished:
            return False
    return True


def ready_shards(shards: Mapping[ShardName, S]) -> list[S]:
    """The shards that may be claimed, in a fixed order."""
    ready = [shard for shard in shards.values() if is_ready(shard, shards)]
    return sorted(ready, key=attrgetter("shard_id", "stream_arn"))


def expected_load(shard: S, shards: Mapping[ShardName, S]) -> float:
    """Records a minute of a shard; of one that nobody has read yet, those of the parents."""
    if shard.load is not None:
        return shard.load
    return sum(parent.load or 0.0 for parent in _parents(shard, shards))


def unknown_shards(
    listed: Iterable[ListedShard], known: Mapping[str, ShardFacts]
) -> list[ListedShard]:
    """Shards that a listing adds: not on record, or on record only as the parent of a child."""
    return [
        shard for shard in listed if shard.shard_id not in known or not known[shard.shard_id].listed
    ]


def lost_shards(
    new: Iterable[ListedShard], known: Mapping[str, ShardFacts], begun: Collection[str]
) -> list[str]:
    """Shards that were begun, as the leases say, and that are not on record any more.

    A child with an unfinished parent is left out: where begun all the same, PostgreSQL was
    taken back to a moment before, and the parent is read to the end again. `new` has parents first.
    """
    unfinished = {name for name, shard in known.items() if not shard.finished}
    lost = []
    for shard in new:
        if not unfinished.isdisjoint(shard.parents):
            unfinished.add(shard.shard_id)
        elif shard.shard_id in begun and shard.shard_id not in known:
            lost.append(shard.shard_id)
    return lost


def in_order(listed: Iterable[ListedShard]) -> list[ListedShard]:
    """The listing with every parent before the children."""
    shards = {shard.shard_id: shard for shard in listed}
    ordered: dict[str, ListedShard] = {}
    for shard in shards.values():
        chain: list[ListedShard] = []
        ancestors = [shard]
        while ancestors:
            ancestor = ancestors.pop()
            if ancestor.shard_id in ordered or ancestor in chain:
                continue
            chain.append(ancestor)
            ancestors += [shards[parent] for parent in ancestor.parents if parent in shards]
        waiting = {member.shard_id for member in chain}
        for member in _parents_first(chain, waiting):
            ordered[member.shard_id] = member
    return list(ordered.values())


def _parents_first(chain: list[ListedShard], waiting: set[str]) -> Iterable[ListedShard]:
    """Members of a chain, each behind the parents; a member that is an ancestor of itself comes
    last.
    """
    left = list(reversed(chain))
    while left:
        ready = [member for member in left if waiting.isdisjoint(member.parents)] or left
        waiting -= {member.shard_id for member in ready}
        left = [member for member in left if member.shard_id in waiting]
        yield from ready


@dataclass(frozen=True, slots=True)
class Ends(Generic[S]):
    """Shards that have ended, by what is known of their children."""

    childless: Sequence[datetime]
    """Times of the ends of shards without known children."""
    followed: Sequence[S]
    """Ended shards with known children that have all begun: such a shard is not worked on again,
    and its position is not asked for."""


def ends_of(shards: Collection[S]) -> Ends[S]:
    """The ends among the shards of a table."""
    finished = {
        (shard.stream_arn, shard.shard_id): shard
        for shard in shards
        if shard.state in ("done", "gap") and shard.finished
    }
    begun: dict[ShardName, bool] = {}
    for child in shards if finished else ():
        for parent_id in (child.parent_id, child.adjacent_parent_id):
            parent = (child.stream_arn, parent_id or "")
            if parent in finished:
                is_begun = child.finished or child.state == "active"
                begun[parent] = begun.get(parent, True) and is_begun
    return Ends(
        [
            shard.done_at
            for name, shard in finished.items()
            if name not in begun and shard.state == "done" and shard.done_at is not None
        ],
        [shard for name, shard in finished.items() if begun.get(name, False)],
    )


def awaits_children(ends: Iterable[datetime], now: datetime) -> bool:
    """True while a shard without known children ended a moment ago: a listing lags behind.

    A stream that was disabled ends without children, so the state does not last.
    """
    return any(now - at < CHILDREN_APPEAR_WITHIN for at in ends)


def forgettable_shards(
    shards: Iterable[ShardFacts], now: datetime, listed: Container[ShardName]
) -> list[ShardFacts]:
    """Finished shards older than 48 hours with children that have all progressed.

    A shard that the source still lists stays, or would be found and read again.
    """
    known = by_name(shards)
    children: dict[ShardName, list[ShardFacts]] = {}
    for shard in known.values():
        for parent in shard.parents:
            children.setdefault((shard.stream_arn, parent), []).append(shard)
    return [
        shard
        for name, shard in known.items()
        if shard.finished
        and name not in listed
        and now - (shard.done_at or now) > FINISHED_SHARDS_KEPT
        and not _parents(shard, known)
        and all(child.finished or child.position is not None for child in children.get(name, ()))
    ]


def _parents(shard: S, shards: Mapping[ShardName, S]) -> list[S]:
    """The parents of a shard that are on record."""
    found = [shards.get((shard.stream_arn, parent)) for parent in shard.parents]
    return [parent for parent in found if parent is not None]
