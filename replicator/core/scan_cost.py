"""What reading a whole table costs. Pure."""

from dataclasses import dataclass

from replicator.core.items import BYTES_PER_READ_UNIT


@dataclass(frozen=True, slots=True)
class ScanCost:
    """An estimate: sources count items and bytes now and then."""

    items: int
    read_units: int
    seconds: float


def scan_cost(*, items: int, size_bytes: int, units_per_second: float) -> ScanCost:
    """Of a consistent scan at a rate."""
    units = -(-size_bytes // BYTES_PER_READ_UNIT)
    return ScanCost(items, units, units / units_per_second)
