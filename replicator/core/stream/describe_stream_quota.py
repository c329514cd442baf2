"""AWS's limit of DescribeStream, and the shares of it for the purposes of a call. Pure."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

CALLS_A_SECOND = 10
"""Calls that AWS allows an account in a second; it refuses more."""
SHARED_CALLS_A_SECOND = 5
"""Calls of a deployment in a second beside those of first listings: other readers of the account's
streams call, too."""
TURNS_KEPT = 2 * CALLS_A_SECOND
"""Turns that are remembered."""
OTHERS_SECONDS = 1.1
"""Seconds for which the turn of another worker counts: a second, and the time by which the ways of
two calls, from their turns to the source, may differ."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """Purpose of a call: `calls_max` in a second of all workers, and what goes first."""

    calls_max: int
    rank: int
    gives_way: bool = False
    """True for a call that is made later where no turn is free now, and reserves none."""


FIRST_LISTING = Purpose(CALLS_A_SECOND, rank=0)
"""Of a stream of which nothing is on record."""
CHILDREN = Purpose(SHARED_CALLS_A_SECOND, rank=1)
"""Of a shard that has ended."""
LISTING = Purpose(SHARED_CALLS_A_SECOND, rank=2, gives_way=True)
"""Of a stream that is on record."""

TakeTurn = Callable[[Purpose, Sequence[float]], Awaitable[float | None]]
"""Takes a turn among the calls of all workers, and returns the seconds until the turn comes. None
where the purpose gives way and no turn is free now. The second argument: the seconds for which each
call of the worker that asks counts still."""
