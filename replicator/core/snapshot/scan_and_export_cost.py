"""Cost of a scan in read units and seconds, of scans and exports to S3 in US dollars. Pure.

AWS bills by the region, and changes prices: every figure is an estimate, for deciding.
"""

from dataclasses import dataclass

from replicator.core.snapshot.scan_responses import BYTES_PER_READ_UNIT

GIGABYTE = 1024**3
EXPORT_PER_GIGABYTE = 0.10
"""Price of an export by the table's size; of an incremental one, by the data that changed (10 MB at
least)."""
INCREMENTAL_BYTES_MIN = 10 * 1024**2
RECOVERY_PER_GIGABYTE = 0.20
"""Price of a month of point-in-time recovery, by the table's size."""
READ_UNITS_PER_MILLION = 0.125
"""Price of a million read units on demand, of 4 KB each, read consistently."""


def export_cost(size_bytes: int) -> float:
    """Price of an export of a whole table."""
    return size_bytes / GIGABYTE * EXPORT_PER_GIGABYTE


def changes_cost_min(exports: int) -> float:
    """Least price of so many incremental exports; the data that changed decides the rest."""
    return export_cost(exports * INCREMENTAL_BYTES_MIN)


def recovery_cost(size_bytes: int) -> float:
    """Price of a month of point-in-time recovery."""
    return size_bytes / GIGABYTE * RECOVERY_PER_GIGABYTE


def scan_price(read_units: int) -> float:
    """Price of the read units of a scan, on demand."""
    return read_units / 1_000_000 * READ_UNITS_PER_MILLION


@dataclass(frozen=True, slots=True)
class ScanCost:
    """An estimate: sources count items and bytes now and then."""

    items: int
    read_units: int
    seconds: float
    size_bytes: int = 0


def scan_cost(*, items: int, size_bytes: int, units_per_second: float) -> ScanCost:
    """The cost of a consistent scan at a rate."""
    units = -(-size_bytes // BYTES_PER_READ_UNIT)
    return ScanCost(items, units, units / units_per_second, size_bytes)
