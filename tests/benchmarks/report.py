"""What was measured as tables of Markdown."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.features import Costs
from tests.benchmarks.latency import Latencies
from tests.benchmarks.resting import Rest, Trickle
from tests.benchmarks.samples import Sample, Spread, ratios, spread

_PACKAGES = ("aiobotocore", "botocore", "boto3", "asyncpg", "msgspec", "psycopg")


def throughput_table(
    samples: Mapping[str, Sequence[Sample]], *, limit: str, peer: str | None
) -> list[str]:
    """One line for each contender, with its ratio to the limit and to the peer."""
    head = ["contender", "records/s", f"to {limit}"]
    head += [f"to {peer}"] if peer else []
    head += ["CPU µs: client", "PostgreSQL", "peak MB"]
    rows = [head]
    for name, runs in samples.items():
        rates = [run.rate for run in runs]
        row = [name, _whole(spread(rates)), _ratio(rates, samples[limit])]
        row += [_ratio(rates, samples[peer])] if peer else []
        row.append(_tenths(spread([run.client_microseconds for run in runs])))
        row.append(_tenths(spread([run.postgres_microseconds for run in runs])))
        row.append(_whole(spread([run.peak_megabytes for run in runs])))
        rows.append(row)
    return table(rows)


def cpu_table(samples: Mapping[str, Sequence[Sample]], *, beside: str) -> list[str]:
    """One line for each contender: CPU, and both as ratios to one of them."""
    head = ["contender", "records/s", "CPU µs: worker", "PostgreSQL"]
    rows = [[*head, f"CPU to {beside}: worker", "both together", "peak MB"]]
    for name, runs in samples.items():
        worker, both = (
            ratios([measure(run) for run in runs], [measure(run) for run in samples[beside]])
            for measure in (_worker_microseconds, _microseconds)
        )
        row = [name, _whole(spread([run.rate for run in runs]))]
        row.append(_tenths(spread([run.client_microseconds for run in runs])))
        row.append(_tenths(spread([run.postgres_microseconds for run in runs])))
        row += [_ratio_of(worker), _ratio_of(both)]
        row.append(_whole(spread([run.peak_megabytes for run in runs])))
        rows.append(row)
    return table(rows)


def _worker_microseconds(run: Sample) -> float:
    return run.client_microseconds or 0.0


def _microseconds(run: Sample) -> float:
    return run.microseconds or 0.0


def stage_table(samples: Mapping[str, Sequence[Sample]], *, peer: str) -> list[str]:
    """One line for each step: CPU, and how many times less than the peer's."""
    rows = [["step", "CPU µs per record", f"{peer} to it"]]
    theirs = [run.client_microseconds or 0.0 for run in samples[peer]]
    for name, runs in samples.items():
        ours = [run.client_microseconds or 0.0 for run in runs]
        found = ratios(theirs, ours)
        rows.append([name, _tenths(spread(ours)), f"{found.median:.1f} {_range(found, 1)}"])
    return table(rows)


def feature_table(found: Mapping[str, Costs], *, plain: str) -> list[str]:
    """One line for each feature: CPU to plan and to write, and both as ratios to plain columns."""
    rows = [
        ["mapping", "plan, CPU µs", "to plain", "write, CPU µs: client", "PostgreSQL", "to plain"]
    ]
    for name, costs in found.items():
        plans = [
            [run.client_microseconds or 0.0 for run in each]
            for each in (costs.plan, found[plain].plan)
        ]
        writes = [
            [run.microseconds or 0.0 for run in each] for each in (costs.write, found[plain].write)
        ]
        rows.append(
            [
                name,
                _tenths(spread(plans[0])),
                _ratio_of(ratios(*plans)),
                _tenths(spread([run.client_microseconds for run in costs.write])),
                _tenths(spread([run.postgres_microseconds for run in costs.write])),
                _ratio_of(ratios(*writes)),
            ]
        )
    return table(rows)


def latency_table(found: Iterable[Latencies]) -> list[str]:
    """One line for each pace."""
    rows = [
        [
            "changes a second",
            "served to committed, ms: p50",
            "p95",
            "p99",
            "max",
            "written to committed: p50",
            "p99",
        ]
    ]
    for one in found:
        served, written = sorted(one.served_to_committed), sorted(one.written_to_committed)
        cells = [_milliseconds(served, part) for part in (0.5, 0.95, 0.99, 1.0)]
        cells += [_milliseconds(written, part) for part in (0.5, 0.99)]
        rows.append([str(one.a_second), *cells])
    return table(rows)


def rest_table(found: Iterable[Rest]) -> list[str]:
    """What idle shards cost."""
    rows = [["idle shards", "GetRecords a second", "part of a core", "PostgreSQL", "MB"]]
    rows += [
        [
            str(one.shards),
            f"{one.requests:.0f}",
            f"{one.core:.1%}",
            f"{one.postgres_core:.1%}",
            f"{one.megabytes:.0f}",
        ]
        for one in found
    ]
    return table(rows)


def trickle_table(found: Iterable[Trickle]) -> list[str]:
    """What single changes cost."""
    rows = [["idle shards", "changes a second", "CPU ms of a change: worker", "PostgreSQL"]]
    rows += [
        [
            str(one.shards),
            str(one.a_second),
            f"{one.worker_ms:.2f}",
            f"{one.postgres_ms:.2f}",
        ]
        for one in found
    ]
    return table(rows)


def growth_table(samples: Mapping[str, Sequence[Sample]]) -> list[str]:
    """One line for each size."""
    rows = [["one worker with", "records/s", "CPU µs: client", "PostgreSQL", "peak MB"]]
    for name, runs in samples.items():
        row = [name, _whole(spread([run.rate for run in runs]))]
        row.append(_tenths(spread([run.client_microseconds for run in runs])))
        row.append(_tenths(spread([run.postgres_microseconds for run in runs])))
        row.append(_whole(spread([run.peak_megabytes for run in runs])))
        rows.append(row)
    return table(rows)


def _milliseconds(ordered: Sequence[float], part: float) -> str:
    return f"{ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000:.1f}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned, as Markdown."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def machine_lines(command: str, *, in_memory: bool, postgres: str) -> list[str]:
    """Where, when and with what."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return [
        f"* `{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"* {_processor()}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}; "
        f"load average at the end {load}",
        f"* CPython {platform.python_version()}, {packages}",
        f"* {postgres}, data {'in memory' if in_memory else 'on disk'}, on the same machine",
    ]


def write_page(page: Path, tables: Mapping[str, Sequence[str]]) -> None:
    """Put each table between its marks on the page; the words around them are a person's."""
    text = page.read_text()
    for name, lines in tables.items():
        begin, end = f"<!-- begin {name} -->\n", f"\n<!-- end {name} -->"
        before, found, rest = text.partition(begin)
        _, also, after = rest.partition(end)
        if not (found and also):
            raise ValueError(f"{page} has no place for {name}")
        text = before + begin + "\n".join(lines) + end + after
    page.write_text(text)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _ratio(rates: Sequence[float], others: Iterable[Sample]) -> str:
    return _ratio_of(ratios(rates, [run.rate for run in others]))


def _ratio_of(found: Spread) -> str:
    return f"{found.median:.2f} {_range(found, 2)}"


def _range(found: Spread, digits: int) -> str:
    return f"[{found.least:.{digits}f}-{found.most:.{digits}f}]"


def _whole(found: Spread | None) -> str:
    if found is None:
        return "-"
    return f"{found.median:,.0f} [{found.least:,.0f}-{found.most:,.0f}]"


def _tenths(found: Spread | None) -> str:
    return "-" if found is None else f"{found.median:.1f} {_range(found, 1)}"
