"""Writes docs/metrics.md from the metrics that the program has; a test keeps the two equal."""

from pathlib import Path

from replicator.monitoring.metric_families import FAMILIES, Family

PAGE = Path(__file__).with_name("metrics.md")

_INTRODUCTION = """\
# Metrics

<!-- generated from replicator/monitoring/metric_families.py: python -m docs.generate_metrics -->

`/metrics` serves these in the Prometheus text format, and as OpenMetrics to who asks for it.
No label ever carries a shard id, a key or a value.
Gauges of one worker aggregate by `max`.
Those read from PostgreSQL are the same from every worker: `replicator_shards`, \
`replicator_table_state`, `replicator_dead_letters`, and those of snapshots and of `verify`.
Counters that may be asked for are there with 0 for every known table, \
so that their first step is an increase.
Rules, alerts and a dashboard that do so are in `deploy/prometheus` and `deploy/grafana`: \
see [monitoring](operations/monitoring.md).
Lag, poll age and headroom are computed when they are scraped, \
so a worker that is stuck or cut off from PostgreSQL shows growing lag.
The counters of one process start at zero; use `rate()` or `increase()`.
Beside these there are the `process_*` metrics of the Prometheus client: \
memory, CPU, file descriptors, start time.
"""


def markdown() -> str:
    """The whole page."""
    overview = ["| name | type | labels |", "|---|---|---|"]
    overview += [
        f"| [`{family.name}`](#{family.name}) | {family.kind} | {', '.join(family.labels)} |"
        for family in FAMILIES
    ]
    return "\n".join([_INTRODUCTION, *overview, "", *map(_section, FAMILIES)])


def _section(family: Family) -> str:
    lines = [f"## {family.name}", "", *_sentences(family.help)]
    lines += [f"\n`{label}` is one of: {values}." for label, values in family.values]
    if family.buckets:
        bounds = ", ".join(f"{bound:g}" for bound in family.buckets)
        lines.append(f"\nBuckets end at {bounds} seconds.")
    return "\n".join([*lines, ""])


def _sentences(text: str) -> list[str]:
    return [sentence.rstrip(".") + "." for sentence in text.split(". ")]


if __name__ == "__main__":
    PAGE.write_text(markdown())
