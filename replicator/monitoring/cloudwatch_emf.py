"""One invocation of AWS Lambda as lines in CloudWatch's embedded metric format."""

import json
from collections import defaultdict
from collections.abc import Iterator

from replicator.clock import Clock
from replicator.core.telemetry_events import (
    BatchApplied,
    ChangesSuperseded,
    GapFound,
    OrderUndecided,
    TelemetryEvent,
)

NAMESPACE = "replicator"
Dimensions = tuple[tuple[str, str], ...]

_UNITS = {
    "replicator_lag_seconds": "Seconds",
    "replicator_apply_seconds": "Seconds",
    "replicator_replication_seconds": "Seconds",
    "replicator_invocation_seconds": "Seconds",
}


class EmbeddedMetrics:
    """Collects the facts of one invocation under the names that the daemon's metrics have."""

    def __init__(self, deployment: str, clock: Clock) -> None:
        self._deployment = deployment
        self._clock = clock
        self._values: defaultdict[Dimensions, dict[str, float]] = defaultdict(dict)

    def observe(self, event: TelemetryEvent) -> None:
        """Take note of a fact."""
        match event:
            case BatchApplied():
                self._applied(event)
            case ChangesSuperseded(table=table, reasons=reasons):
                for reason, count in reasons.items():
                    name = "replicator_guard_rejections_total"
                    self._add(name, count, table=table, reason=reason)
            case OrderUndecided(table=table, changes=changes):
                self._add("replicator_undecided_changes_total", changes, table=table)
            case GapFound(table=table, kind=kind):
                self._add("replicator_gaps_total", 1, table=table, kind=kind)
            case _:
                pass  # a line in the log

    def invocation(self, table: str, seconds: float) -> None:
        """Record the duration of an invocation for a table."""
        self._most("replicator_invocation_seconds", seconds, table=table)

    def dead_letters(self, table: str, still_open: int) -> None:
        """Record the number of open dead letters."""
        self._most("replicator_dead_letters", still_open, table=table)

    def lines(self) -> Iterator[str]:
        """One document for each set of dimensions; afterwards nothing is noted any more."""
        at = int(self._clock.now().timestamp() * 1000)
        for dimensions, values in self._values.items():
            metrics = [{"Name": name, "Unit": _UNITS.get(name, "Count")} for name in values]
            directive = {
                "Namespace": NAMESPACE,
                "Dimensions": [["deployment", *(name for name, _ in dimensions)]],
                "Metrics": metrics,
            }
            yield json.dumps(
                {
                    "_aws": {"Timestamp": at, "CloudWatchMetrics": [directive]},
                    "deployment": self._deployment,
                    **dict(dimensions),
                    **values,
                }
            )
        self._values.clear()

    def _applied(self, batch: BatchApplied) -> None:
        table = batch.table
        for (event, outcome), count in batch.records.items():
            self._add("replicator_records_total", count, table=table, event=event, outcome=outcome)
        for (target, operation), count in batch.rows.items():
            self._add("replicator_rows_total", count, target=target, operation=operation)
        for target, met in batch.unmapped.items():
            count = sum(met.values())
            self._add("replicator_unmapped_attributes_total", count, target=target)
        self._most("replicator_apply_seconds", batch.apply_seconds, table=table)
        if batch.replication_seconds:
            ages = [age for age, _ in batch.replication_seconds]
            self._most("replicator_replication_seconds", max(ages), table=table)
            self._most("replicator_lag_seconds", min(ages), table=table)

    def _add(self, name: str, value: float, **dimensions: str) -> None:
        values = self._values[tuple(dimensions.items())]
        values[name] = values.get(name, 0) + value

    def _most(self, name: str, value: float, **dimensions: str) -> None:
        values = self._values[tuple(dimensions.items())]
        values[name] = max(values.get(name, 0), value)
