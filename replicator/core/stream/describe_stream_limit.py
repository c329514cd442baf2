"""AWS's limit of DescribeStream, and the shares of it for the purposes of a call. Pure."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

CALLS_A_SECOND = 10
"""Calls that AWS allows an account in a second; it refuses more."""
SHARED_CALLS_A_SECOND = 5
"""Calls of a deployment in a second beside those of first listings: other readers of the account's
streams call, too."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """Purpose of a call: `calls_max` in a second of all workers, and what goes first."""

    calls_max: int
    rank: int
    gives_way: bool = False
    """True for a call that is made later where no turn is free now, and reserves none."""

    @property
    def window_seconds(self) -> float:
        """Seconds in which all workers make `calls_max` calls at most.

        A second for as many calls as AWS allows, since AWS counts such calls; a second and the time
        by which the ways of two calls may differ for fewer.
        """
        return 1.0 if self.calls_max >= CALLS_A_SECOND else 1.05


FIRST_LISTING = Purpose(CALLS_A_SECOND, rank=0)
"""Of a stream of which nothing is on record."""
CHILDREN = Purpose(SHARED_CALLS_A_SECOND, rank=1)
"""Of a shard that has ended."""
LISTING = Purpose(SHARED_CALLS_A_SECOND, rank=2, gives_way=True)
"""Of a stream that is on record."""

TakeTurn = Callable[[Purpose], Awaitable[float | None]]
"""Takes a turn among the calls of all workers, and returns the seconds until the turn comes. None
where the purpose gives way and no turn is free now."""
