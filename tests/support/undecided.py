"""The rule by which changes of one time are counted, for comparison with the row guard's SQL."""

from replicator.core.stream.order_by_time import SLOT, TIME
from replicator.core.stream_record import Version


def is_undecided(one: Version, other: Version) -> bool:
    """True where nothing proves which of two changes of an item is the later one: they have one
    time, and neither begins with the image that the other ends with, or both do.
    """
    if one // TIME != other // TIME or one == other:
        return False
    (old, new), (other_old, other_new) = (
        (each // SLOT % SLOT, each % SLOT) for each in (one, other)
    )
    return (old == other_new) == (new == other_old)
