"""What an invocation of the Lambda function costs: `python -m tests.benchmarks.invocations`."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from replicator.core.planning.plan_batch import plan_batch
from replicator.demo.embedded_servers import embedded_postgres
from replicator.sources.lambda_events.event import batches_of
from tests.benchmarks.throughput import say
from tests.support.lambda_events import event, put
from tests.support.lambda_function import LambdaTable
from tests.support.lambda_runtime import Environment

ROUNDS = 9
LOADING = "import replicator.lambda_handler"


def main() -> None:
    """Print the figures of docs/operations/lambda.md."""
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_postgres() as server,
    ):
        table = LambdaTable(server.dsn, Path(folder))
        table.configure()
        say("| event | MB | ms | JSON | decoding | planning | PostgreSQL and the rest |")
        say("|---|---|---|---|---|---|---|")
        with table.function() as function:
            function.handle(event(put(1)), seconds_left=60)
            first = 2
            for count in (1000, 10_000):
                events = [_event(first + n * count, count) for n in range(ROUNDS)]
                first += ROUNDS * count
                for kind in ("new", "again"):
                    whole = [_seconds(partial(function.handle, e, seconds_left=60)) for e in events]
                    _print(f"{count} records {kind}", events[0], table, whole)
        say(f"\nloading the handler: {median(_loading() for _ in range(ROUNDS)):.2f} s of CPU")
        cold = [_cold(table, Path(folder)) for _ in range(3)]
        say(f"from the start of the runtime client to the first answer: {median(cold):.1f} s")


def _event(first: int, count: int) -> dict[str, Any]:
    return event(*[put(number, f"k{number:08}") for number in range(first, first + count)])


def _print(name: str, given: dict[str, Any], table: LambdaTable, whole: list[float]) -> None:
    text = json.dumps(given)
    mapping = table.mapping()
    [batch] = batches_of(given)
    parts = [
        _often(lambda: json.loads(text)),
        _often(lambda: batches_of(given)),
        _often(lambda: plan_batch(batch.records, mapping, read_at=0.0)),
    ]
    all_of_it = median(whole)
    cells = [all_of_it, *parts, all_of_it - parts[1] - parts[2]]
    times = " | ".join(f"{seconds * 1000:.1f}" for seconds in cells)
    say(f"| {name} | {len(text) / 1e6:.1f} | {times} |")


def _often(step: Callable[[], object]) -> float:
    return median(_seconds(step) for _ in range(ROUNDS))


def _seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def _loading() -> float:
    """CPU of a process that loads the handler, without that of one that loads nothing."""

    def used(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return used(LOADING) - used("pass")


def _cold(table: LambdaTable, folder: Path) -> float:
    started = time.perf_counter()
    with Environment(table.environ, folder / "function.log") as environment:
        environment.invoke(event(put(1)))
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
