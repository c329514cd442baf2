"""Number of records in one transaction: as many as fit into the intended time. Pure."""

from dataclasses import dataclass, replace

GROWTH_MAX = 2.0
"""Largest factor between two sizes: one quick transaction says little about the next."""
SHRINK_MAX = 0.5


@dataclass(frozen=True, slots=True)
class BatchSize:
    """`records` now, between one and `records_max`, for transactions of `target_seconds`."""

    records: int
    records_max: int
    target_seconds: float

    def after(self, records: int, seconds: float) -> "BatchSize":
        """The size after a transaction of so many records of the given duration.

        A slow one shrinks the next, a quick one that was as large as allowed lets it grow. The way
        to PostgreSQL costs a large batch no more than a small one, so a slow network makes batches
        grow as far as the intended time allows.
        """
        factor = self.target_seconds / max(seconds, 0.001)
        if factor < 1:
            return self._of(min(self.records, records * max(SHRINK_MAX, factor)))
        if records < self.records:
            return self
        return self._of(self.records * min(GROWTH_MAX, factor))

    def refused(self, records: int) -> "BatchSize":
        """The size after PostgreSQL ended a transaction of so many records, or a wait within."""
        return self._of(min(self.records, records * SHRINK_MAX))

    def _of(self, records: float) -> "BatchSize":
        return replace(self, records=max(1, min(self.records_max, int(records))))
