"""Telemetry events become counters; a status becomes gauges at the moment of a scrape."""

import platform
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import assert_never, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from replicator import __version__
from replicator.core.status.deployment_problems import diagnose
from replicator.core.status.deployment_status import SHARD_STATES, TABLE_STATES, Status, TableStatus
from replicator.core.status.table_verdict import VERDICTS
from replicator.core.stream_record import Event
from replicator.core.telemetry_events import (
    BatchApplied,
    ChangesSuperseded,
    ClaimSwitched,
    ExportRefused,
    GapFound,
    GapKind,
    GuardReason,
    LeaseLapsed,
    LeaseReleased,
    LeaseTaken,
    MappingSuperseded,
    OrderUndecided,
    Outcome,
    PublishingUnwatched,
    ReadFailed,
    ReadRecovered,
    RecordRejected,
    RecordsRepeated,
    SegmentEnded,
    ShardClaimed,
    ShardEnded,
    SnapshotBegun,
    SnapshotEnded,
    SnapshotProgressed,
    SourceAnswered,
    StreamMoved,
    SweepRefused,
    TableHalted,
    TableTakenUp,
    TaskFailed,
    TaskRecovered,
    TaskStuck,
    TelemetryEvent,
    WriteBlocked,
    WriteFenced,
)
from replicator.monitoring.metric_families import FAMILIES, Family

Labels = tuple[str, ...]

_EVENTS = (*get_args(Event), "snapshot")
_OUTCOMES: tuple[str, ...] = get_args(Outcome)
_GAP_KINDS: tuple[str, ...] = get_args(GapKind)
_GUARD: tuple[str, ...] = get_args(GuardReason)
_RESTARTS = ("failed", "stuck")


class Metrics(Collector):
    """All numbers of one process, in a registry of the process's own.

    `status` answers with the newest status, or None while there is none; each scrape asks for the
    status, on the scraping thread. Counters of one process start at zero and only grow. Counters
    with labels known beforehand are there with 0, so that the first step is seen as an increase.
    """

    def __init__(
        self,
        status: Callable[[], Status | None] = lambda: None,
        *,
        leases_held: Callable[[], int] = lambda: 0,
    ) -> None:
        self._status = status
        self._leases_held = leases_held
        self._counters: dict[str, defaultdict[Labels, float]] = {
            family.name: defaultdict(float) for family in FAMILIES if family.kind == "counter"
        }
        for name in ("replicator_leases_lost_total", "replicator_fenced_total"):
            self._counters[name][()] = 0.0
        self._histograms: dict[str, dict[Labels, _Histogram]] = {
            family.name: {} for family in FAMILIES if family.kind == "histogram"
        }
        self._last_applied: dict[str, float] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def observe(self, event: TelemetryEvent) -> None:  # noqa: C901, PLR0912 (one arm for each fact)
        """Count one fact: one call per batch, and no loop over the batch's records."""
        match event:
            case BatchApplied():
                self._count_batch(event)
            case RecordsRepeated(table=table, events=events):
                for change, count in events.items():
                    self._count("replicator_records_total", table, change, "duplicate", by=count)
            case WriteFenced():
                self._count("replicator_fenced_total")
            case LeaseLapsed():
                self._count("replicator_leases_lost_total")
            case ChangesSuperseded(table=table, reasons=reasons):
                for reason, count in reasons.items():
                    self._count("replicator_guard_rejections_total", table, reason, by=count)
            case OrderUndecided(table=table, changes=changes):
                self._count("replicator_undecided_changes_total", table, by=changes)
            case GapFound(table=table, kind=kind):
                self._count("replicator_gaps_total", table, kind)
            case SourceAnswered(operation=operation, outcome=outcome):
                self._count("replicator_source_requests_total", operation, outcome)
            case ShardClaimed(table=table, rewound=True):
                self._count("replicator_positions_rewound_total", table)
            case TaskFailed(table=table):
                self._count("replicator_task_restarts_total", table or "", "failed")
            case TaskStuck(table=table):
                self._count("replicator_task_restarts_total", table or "", "stuck")
            case SnapshotEnded(table=table, swept=swept):
                self._count("replicator_snapshots_total", table, "done")
                self._count("replicator_swept_rows_total", table, by=swept)
            case SweepRefused(table=table) | ExportRefused(table=table):
                self._count("replicator_snapshots_total", table, "refused")
            case (
                RecordRejected()
                | SnapshotBegun()
                | SnapshotProgressed()
                | SegmentEnded()
                | ShardClaimed()
                | ShardEnded()
                | ClaimSwitched()
                | LeaseTaken()
                | LeaseReleased()
                | TableHalted()
                | TaskRecovered()
                | ReadFailed()
                | ReadRecovered()
                | WriteBlocked()
                | MappingSuperseded()
                | TableTakenUp()
                | PublishingUnwatched()
                | StreamMoved()
            ):
                pass  # counted with their batch, or seen in the status
            case _:
                assert_never(event)

    def collect(self) -> Iterable[Metric]:
        """Every family, also those without a sample yet."""
        status = self._status()
        gauges = self._gauges(status)
        counters = self._counters_with_zeros(status)
        for family in FAMILIES:
            match family.kind:
                case "gauge":
                    yield _gauge(family, gauges.get(family.name, ()))
                case "counter":
                    yield _counter(family, counters[family.name].items())
                case "histogram":
                    yield _histogram(family, self._histograms[family.name].items())
                case _:
                    assert_never(family.kind)

    def _count(self, name: str, *labels: str, by: float = 1) -> None:
        self._counters[name][labels] += by

    def _count_batch(self, batch: BatchApplied) -> None:
        table = batch.table
        records = self._counters["replicator_records_total"]
        for (event, outcome), count in batch.records.items():
            records[table, event, outcome] += count
        rows = self._counters["replicator_rows_total"]
        for (target, operation), count in batch.rows.items():
            rows[target, operation] += count
        for target, met in batch.unmapped.items():
            by = sum(met.values())
            self._count("replicator_unmapped_attributes_total", target, by=by)
        if batch.unmatched:
            self._count("replicator_unmatched_items_total", table, by=batch.unmatched)
        self._timings("replicator_apply_seconds", table).add(batch.apply_seconds)
        ages = self._timings("replicator_replication_seconds", table)
        for age, count in batch.replication_seconds:
            ages.add(age, count)
        if batch.last_created_at is not None:
            newest = max(batch.last_created_at, self._last_applied.get(table, 0.0))
            self._last_applied[table] = newest

    def _timings(self, name: str, table: str) -> "_Histogram":
        by_table = self._histograms[name]
        found = by_table.get((table,))
        if found is None:
            bounds = next(family.buckets for family in FAMILIES if family.name == name)
            found = by_table[table,] = _Histogram(bounds)
        return found

    def _gauges(self, status: Status | None) -> dict[str, list[tuple[Labels, float]]]:
        gauges: dict[str, list[tuple[Labels, float]]] = defaultdict(list)
        gauges["replicator_leases_held"].append(((), self._leases_held()))
        version = (__version__, platform.python_version())
        gauges["replicator_build_info"].append((version, 1))
        if status is None:
            return gauges
        diagnosis = diagnose(status)
        gauges["replicator_table_verdict"] = [
            ((source, verdict), verdict == given)
            for source, given in diagnosis.verdicts.items()
            if source not in diagnosis.broken
            or diagnosis.broken[source].kind not in ("lambda", "unconfigured")
            for verdict in VERDICTS
        ]
        for table in status.tables:
            known = {
                "replicator_lag_seconds": table.lag_seconds,
                "replicator_retention_headroom_seconds": table.retention_headroom_seconds,
                "replicator_poll_age_seconds": table.poll_age_seconds,
                "replicator_last_applied_timestamp_seconds": self._newest_applied(table),
                "replicator_workers_with_another_mapping": float(len(table.proof.strangers)),
            }
            for name, value in known.items():
                if value is not None:
                    gauges[name].append(((table.source,), value))
            for shard_state in SHARD_STATES:
                count = table.shards.get(shard_state, 0)
                gauges["replicator_shards"].append(((table.source, shard_state), count))
            for state in TABLE_STATES:
                labels = (table.source, state)
                gauges["replicator_table_state"].append((labels, state == table.state))
            if table.verified is not None:
                found, labels_of_table = table.verified, (table.source,)
                gauges["replicator_verify_unequal"].append((labels_of_table, found.unequal))
                gauges["replicator_verify_timestamp_seconds"].append(
                    (labels_of_table, found.at.timestamp())
                )
            if table.snapshot is not None and table.snapshot.unfinished:
                share = table.snapshot.done_share
                gauges["replicator_snapshot_done_ratio"].append(((table.source,), share))
                items = float(table.snapshot.items)
                gauges["replicator_snapshot_items"].append(((table.source,), items))
            for target, open_ones in table.dead_letters.items():
                gauges["replicator_dead_letters"].append(((target,), open_ones))
        return gauges

    def _newest_applied(self, table: TableStatus) -> float | None:
        """Creation time of the newest applied change: the control schema's, or a newer one of
        the worker.
        """
        own = self._last_applied.get(table.source)
        if table.last_applied_at is None:
            return own
        return max(table.last_applied_at.timestamp(), own or 0.0)

    def _counters_with_zeros(self, status: Status | None) -> dict[str, dict[Labels, float]]:
        zeros: dict[str, dict[Labels, float]] = {name: {} for name in self._counters}
        for table in status.tables if status else ():
            source = table.source
            known: dict[str, Iterable[Labels]] = {
                "replicator_gaps_total": ((source, kind) for kind in _GAP_KINDS),
                "replicator_records_total": (
                    (source, event, outcome) for event in _EVENTS for outcome in _OUTCOMES
                ),
                "replicator_positions_rewound_total": [(source,)],
                "replicator_guard_rejections_total": ((source, reason) for reason in _GUARD),
                "replicator_task_restarts_total": ((source, reason) for reason in _RESTARTS),
                "replicator_unmapped_attributes_total": ((name,) for name in table.dead_letters),
            }
            for name, labels in known.items():
                zeros[name] |= dict.fromkeys(labels, 0.0)
        return {name: zeros[name] | counted for name, counted in self._counters.items()}


class _Histogram:
    """Counts per bucket; the last bucket has no upper bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float, count: int = 1) -> None:
        """A source whose clock is ahead of ours gives negative ages: they count as 0."""
        seconds = max(seconds, 0.0)
        self.counts[bisect_left(self.bounds, seconds)] += count
        self.total += seconds * count

    def buckets(self) -> list[tuple[str, float]]:
        names = [*(str(bound) for bound in self.bounds), "+Inf"]
        return [
            (name, float(sum_)) for name, sum_ in zip(names, accumulate(self.counts), strict=True)
        ]


def _gauge(family: Family, samples: Iterable[tuple[Labels, float]]) -> Metric:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for labels, value in samples:
        metric.add_metric(labels, value)
    return metric


def _counter(family: Family, samples: Iterable[tuple[Labels, float]]) -> Metric:
    metric = CounterMetricFamily(family.name, family.help, labels=family.labels)
    for labels, value in samples:
        metric.add_metric(labels, value)
    return metric


def _histogram(family: Family, samples: Iterable[tuple[Labels, _Histogram]]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    for labels, histogram in samples:
        metric.add_metric(labels, histogram.buckets(), histogram.total)
    return metric
