"""`replicator status`: what is wrong first, then tables and workers; from PostgreSQL alone."""

import asyncio
from collections.abc import Iterable, Mapping

from replicator.app.administration.status import read_status
from replicator.cli.terminal.options import AsJson, ConfigFile, load_settings
from replicator.cli.terminal.output import print_document, print_line, print_prose, print_table
from replicator.core.status.deployment_problems import Diagnosis, diagnose
from replicator.core.status.deployment_status import SHARD_STATES, Status, TableStatus, WorkerStatus
from replicator.core.status.duration_words import in_words
from replicator.core.status.status_json import document
from replicator.core.status.table_verdict import WORKER_SECONDS, Problem, Verdict

_VERDICTS: dict["Verdict", str] = {
    "stopped": "{} stopped",
    "behind": "{} behind",
    "unknown": "{} not proved to be well",
}
_COLUMNS = ("TABLE", "VERDICT", "STATE", "LAG", "HEADROOM", "SHARDS", "DEAD LETTERS")


def status(*, as_json: AsJson = False, config: ConfigFile = None) -> None:
    """Say how everything stands: what is wrong first, and which command fixes it.

    Asks PostgreSQL alone, so it works while DynamoDB is away. Lag is the age of the oldest change
    that may not be applied yet, headroom the time until the stream may drop it. Ends with 0
    whatever it shows, with 4 when PostgreSQL cannot be reached, with 2 when the configuration is
    wrong or the control schema is missing.

    Example: replicator status --json
    """

    settings = load_settings(config)
    found = asyncio.run(read_status(settings))
    if as_json:
        print_document(document(found))
        return
    diagnosis = diagnose(found)
    _print_problems(found.deployment, diagnosis)
    _print_tables(found.tables, diagnosis.verdicts)
    _print_workers(found)


def _print_problems(deployment: str, diagnosis: "Diagnosis") -> None:
    print_line(f"deployment {deployment}: {_in_short(diagnosis)}")
    for problem in diagnosis.problems:
        print_line("")
        print_prose(f"{_subject(problem)}: {problem.what}", indent="  ")
        if problem.remedy:
            print_prose(f"-> {problem.remedy}", indent="    ")
    print_line("")


def _in_short(diagnosis: "Diagnosis") -> str:
    """Counts of tables that are not well, and of problems."""
    of = len(diagnosis.verdicts)
    counts = [(word, list(diagnosis.verdicts.values()).count(word)) for word in _VERDICTS]
    parts = [_VERDICTS[word].format(f"{count} of {of}") for word, count in counts if count]
    if diagnosis.problems:
        more = len(diagnosis.problems)
        parts.append(f"{more} things need a look" if more > 1 else "1 thing needs a look")
    return "; ".join(parts) or "all is well"


def _subject(problem: "Problem") -> str:
    return problem.table or ("workers" if problem.kind != "target" else "target")


def _print_tables(tables: Iterable["TableStatus"], verdicts: Mapping[str, "Verdict"]) -> None:
    print_table(_COLUMNS, [_row(table, verdicts[table.source]) for table in tables])


def _row(table: "TableStatus", verdict: "Verdict") -> list[str]:

    letters = sum(table.dead_letters.values())
    known = table.stream_arn is not None
    return [
        table.source,
        verdict,
        _state(table),
        in_words(table.lag_seconds),
        in_words(table.retention_headroom_seconds),
        _shards(table) if known else "-",
        str(letters) if letters else "-",
    ]


def _state(table: "TableStatus") -> str:
    if table.configured == "not registered":
        return "unregistered"
    if table.stream_arn is None and table.state == "snapshot":
        return "not begun"
    return table.state


def _shards(table: "TableStatus") -> str:

    counts: Iterable[tuple[str, int]] = (
        (state, table.shards.get(state, 0)) for state in SHARD_STATES
    )
    return ", ".join(f"{count} {state}" for state, count in counts if count) or "-"


def _print_workers(found: "Status") -> None:

    if not found.workers:
        return
    print_line("")
    print_table(("WORKER", "LEASES", "SEEN"), [_worker(worker) for worker in found.workers])


def _worker(worker: "WorkerStatus") -> list[str]:
    """A worker's line; the leases of one that is gone are free, or another's."""
    ago = f"{in_words(worker.seen_seconds_ago)} ago"
    if worker.seen_seconds_ago >= WORKER_SECONDS:
        return [worker.id, "-", f"{ago}, gone"]
    return [worker.id, str(worker.leases), ago]
