"""Pause between two listings of a stream, and the age at which a listing proves nothing. Pure.

AWS allows an account ten calls of DescribeStream in a second, of which workers use five for streams
that are on record, the children of shards that have ended among them. A listing takes a call for
each hundred shards, so that many streams, or large ones, cannot be listed as often as few: a queue
that only grows would make all of them late, and tell nobody why.
"""

from collections.abc import Iterable

LISTING_CALLS_A_SECOND = 4.0
"""Calls for listings, of all workers: a fifth of what they may make is left to what is urgent."""
LISTING_SECONDS = 120.0
"""Age of a good listing from which it proves nothing any more."""
LISTING_ROUNDS = 3
"""So many rounds may pass without a good listing: each may fail once, and wait for the others."""


def listing_seconds(calls: Iterable[int], *, at_least: float) -> float:
    """Seconds between two listings of each of some streams, whose listings take so many calls."""
    return max(at_least, sum(calls) / LISTING_CALLS_A_SECOND)


def listing_seconds_max(every_seconds: float) -> float:
    """Age of the last good listing from which it proves nothing, of streams that are listed every
    so many seconds."""
    return max(LISTING_SECONDS, LISTING_ROUNDS * every_seconds)
