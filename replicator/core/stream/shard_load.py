"""Load of a shard: a moving average of the records applied in a minute. Pure."""

from dataclasses import dataclass
from math import exp

AVERAGED_SECONDS = 300.0
"""Time constant of the average: after so long without a record, a third of the load is left."""


@dataclass(frozen=True, slots=True)
class ShardLoad:
    """The average and its monotonic time; None where the average was just read from the shard's
    row."""

    records_a_minute: float = 0.0
    at: float | None = None

    def after(self, records: float, *, now: float) -> "ShardLoad":
        """The average after so many records more, all of this moment."""
        seconds = 0.0 if self.at is None else max(0.0, now - self.at)
        left = self.records_a_minute * exp(-seconds / AVERAGED_SECONDS)
        return ShardLoad(left + records * 60.0 / AVERAGED_SECONDS, now)


UNMEASURED = ShardLoad()
