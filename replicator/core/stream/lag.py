"""Lag of shards and tables, and the headroom before records may be trimmed. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from replicator.core.stream.gap_proof import headroom_seconds


@dataclass(frozen=True, slots=True)
class ShardProgress:
    """Progress of one unfinished shard, as far as the observer knows.

    `at_head`: the source lately answered that there is no more.
    """

    safe_at: datetime | None
    at_head: bool
    polled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Lag:
    """The worst of a table's shards, in seconds; None where nothing was read yet."""

    lag_seconds: float | None
    headroom_seconds: float | None
    poll_age_seconds: float | None


def table_lag(shards: Iterable[ShardProgress], *, now: datetime, retention: timedelta) -> Lag:
    """The age of the oldest change that is known or possibly not applied; 0 at the head.

    A clock that is behind the source's never makes the age negative.
    """
    progress = list(shards)
    lags = [lag_of(shard, now) for shard in progress]
    headrooms = [
        headroom_seconds(now=now, safe_at=safe_at, retention=retention)
        for shard in progress
        if (safe_at := now if shard.at_head else shard.safe_at) is not None
    ]
    polls = [
        max(0.0, (now - shard.polled_at).total_seconds())
        for shard in progress
        if shard.polled_at is not None
    ]
    known = [lag for lag in lags if lag is not None]
    return Lag(
        lag_seconds=max(known) if known else None if progress else 0.0,
        headroom_seconds=min(headrooms) if headrooms else None,
        poll_age_seconds=max(polls) if polls else None,
    )


def lag_of(shard: ShardProgress, now: datetime) -> float | None:
    """The lag of one shard in seconds; None where nothing was read yet."""
    if shard.at_head:
        return 0.0
    if shard.safe_at is None:
        return None
    return max(0.0, (now - shard.safe_at).total_seconds())
