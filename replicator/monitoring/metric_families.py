"""The names, labels and meanings of all metrics: what `docs/metrics.md` is generated from."""

from dataclasses import dataclass
from typing import Literal

APPLY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# up to a day: that is when records leave the stream
REPLICATION_BUCKETS = (
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `labels` never name a shard, a key or a value: the number must stay small."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str
    values: tuple[tuple[str, str], ...] = ()
    """Labels whose values are fixed, with the given values in words."""
    buckets: tuple[float, ...] = ()


FAMILIES: tuple[Family, ...] = (
    Family(
        "replicator_lag_seconds",
        "gauge",
        ("table",),
        "Age of the oldest change known or possibly not applied yet; 0 at the head of the stream. "
        "Shards that nobody owns count.",
    ),
    Family(
        "replicator_last_applied_timestamp_seconds",
        "gauge",
        ("table",),
        "Creation time of the newest applied change, by whichever worker, in seconds since 1970.",
    ),
    Family(
        "replicator_retention_headroom_seconds",
        "gauge",
        ("table",),
        "Time left before the oldest unread record may be trimmed from the stream.",
    ),
    Family(
        "replicator_poll_age_seconds",
        "gauge",
        ("table",),
        "Time since the last successful read of the shard that was read longest ago.",
    ),
    Family(
        "replicator_records_total",
        "counter",
        ("table", "event", "outcome"),
        "Records of the stream or of a snapshot, each counted once with what became of it.",
        values=(
            ("event", "insert, modify, remove, snapshot"),
            ("outcome", "applied, superseded, filtered, dead_letter, duplicate"),
        ),
    ),
    Family(
        "replicator_rows_total",
        "counter",
        ("target", "operation"),
        "Rows written; one that holds the values of its change already is not written again.",
        values=(("operation", "upsert, delete, append"),),
    ),
    Family(
        "replicator_apply_seconds",
        "histogram",
        ("table",),
        "Duration of one batch from its plan to its COMMIT.",
        buckets=APPLY_BUCKETS,
    ),
    Family(
        "replicator_replication_seconds",
        "histogram",
        ("table",),
        "Time from the creation of a change to its COMMIT, one observation for each record.",
        buckets=REPLICATION_BUCKETS,
    ),
    Family(
        "replicator_shards",
        "gauge",
        ("table", "state"),
        "Shards by state, read from the control schema by every worker.",
        values=(("state", "waiting, active, unowned, done, gap"),),
    ),
    Family(
        "replicator_table_state",
        "gauge",
        ("table", "state"),
        "1 for the state that the table is in, 0 for the others.",
        values=(("state", "snapshot, streaming, paused, gap, halted"),),
    ),
    Family(
        "replicator_table_verdict",
        "gauge",
        ("table", "verdict"),
        "1 for the verdict on the table, 0 for the others: `well` only while every link of its "
        "chain is proved; absent where AWS Lambda reads, and of tables that are not configured.",
        values=(("verdict", "well, behind, stopped, unknown"),),
    ),
    Family(
        "replicator_workers_with_another_mapping",
        "gauge",
        ("table",),
        "Living workers that hold another mapping of the table than the registered one: they do "
        "not work on it until they are restarted.",
    ),
    Family(
        "replicator_snapshot_done_ratio",
        "gauge",
        ("table",),
        "How much of the snapshot under way is done, from 0 to 1, by the source's own estimate of "
        "its items; absent when none is.",
    ),
    Family(
        "replicator_snapshot_items",
        "gauge",
        ("table",),
        "Items that the snapshot under way has read; absent when none is.",
    ),
    Family(
        "replicator_snapshots_total",
        "counter",
        ("table", "outcome"),
        "Snapshots that ended, and deletions of stale rows that wait for a person.",
        values=(("outcome", "done, refused"),),
    ),
    Family(
        "replicator_swept_rows_total",
        "counter",
        ("table",),
        "Rows that snapshots deleted because their items are gone.",
    ),
    Family(
        "replicator_undecided_changes_total",
        "counter",
        ("table",),
        "Changes of one item and one creation time from Kinesis of which nothing told the order; "
        "the row may hold an older value until the item's next change.",
    ),
    Family(
        "replicator_guard_rejections_total",
        "counter",
        ("table", "reason"),
        "Changes that were superseded at the row guard, once for each target. `duplicate`: the row "
        "has this change; `older`: it has a newer one; `older_generation`: one of a newer stream; "
        "`snapshot`: a stream was quicker than a scan; `suspicious`: the row has a change that "
        "counts as newer, but was created more than a minute earlier.",
        values=(("reason", "duplicate, older, older_generation, snapshot, suspicious"),),
    ),
    Family(
        "replicator_unmapped_attributes_total",
        "counter",
        ("target",),
        "Attributes that no column and no rest column takes (drift).",
    ),
    Family(
        "replicator_unmatched_items_total",
        "counter",
        ("table",),
        "Items that no target of their table takes, counted with the newest change of each batch.",
    ),
    Family(
        "replicator_verify_unequal",
        "gauge",
        ("table",),
        "Rows that the last verify found missing, extra or different.",
    ),
    Family(
        "replicator_verify_timestamp_seconds",
        "gauge",
        ("table",),
        "When the last verify ended, in seconds since 1970.",
    ),
    Family("replicator_leases_held", "gauge", (), "Leases that this process holds."),
    Family("replicator_leases_lost_total", "counter", (), "Leases lost to another worker."),
    Family(
        "replicator_fenced_total",
        "counter",
        (),
        "Writes that PostgreSQL refused because another worker had claimed the shard.",
    ),
    Family(
        "replicator_dead_letters",
        "gauge",
        ("target",),
        "Dead letters that nobody has resolved yet.",
    ),
    Family(
        "replicator_gaps_total",
        "counter",
        ("table", "kind"),
        "Gaps found: records that are lost, or may be.",
        values=(("kind", "possible, certain"),),
    ),
    Family(
        "replicator_source_requests_total",
        "counter",
        ("operation", "outcome"),
        "Calls of AWS; outcome is ok or the code of the error.",
    ),
    Family(
        "replicator_positions_rewound_total",
        "counter",
        ("table",),
        "Claims whose position in PostgreSQL was behind the checkpoint; PostgreSQL wins.",
    ),
    Family(
        "replicator_task_restarts_total",
        "counter",
        ("table", "reason"),
        "Supervised tasks that failed or hung and were tried again; no table for those of the "
        "whole process.",
        values=(("reason", "failed, stuck"),),
    ),
    Family(
        "replicator_build_info",
        "gauge",
        ("version", "python"),
        "Always 1; its labels say what runs.",
    ),
)
