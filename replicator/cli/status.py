"""`replicator status`: what is wrong first, then tables and workers; from PostgreSQL alone."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from replicator.cli.options import AsJson, ConfigFile, load_settings
from replicator.cli.output import print_document, print_line, print_prose, print_table

if TYPE_CHECKING:
    from replicator.config.settings import Settings
    from replicator.core.status.document import Status, TableStatus

_COLUMNS = ("TABLE", "STATE", "LAG", "HEADROOM", "SHARDS", "DEAD LETTERS")


def status(*, as_json: AsJson = False, config: ConfigFile = None) -> None:
    """Say how everything stands: what is wrong first, and which command mends it.

    Asks PostgreSQL alone, so it works while DynamoDB is away. Lag is the age of the oldest change
    that may not be applied yet, headroom the time until the stream may drop it. Ends with 0
    whatever it shows, with 4 when PostgreSQL cannot be reached, with 2 when the configuration is
    wrong or the control schema is missing.

    Example: replicator status --json
    """
    import asyncio

    from replicator.core.status.document import document

    settings = load_settings(config)
    found = asyncio.run(_status(settings))
    if as_json:
        print_document(document(found))
        return
    _print_troubles(found)
    _print_tables(found)
    _print_workers(found)


async def _status(settings: "Settings") -> "Status":
    from replicator.app.control_database import control_database
    from replicator.core.status.assemble import overview
    from replicator.core.status.problems import with_configured
    from replicator.postgres.control.status_reads import read_knowledge

    async with control_database(settings) as database:
        knowledge, now = await read_knowledge(database)
    return with_configured(overview(knowledge, now=now), settings.tables)


def _print_troubles(found: "Status") -> None:
    from replicator.core.status.problems import troubles

    wrong = troubles(found)
    count = f"{len(wrong)} things need" if len(wrong) > 1 else "1 thing needs"
    print_line(f"deployment {found.deployment}: {f'{count} a look' if wrong else 'all is well'}")
    for trouble in wrong:
        print_line("")
        print_prose(f"{trouble.where}: {trouble.what}", indent="  ")
        if trouble.remedy:
            print_prose(f"-> {trouble.remedy}", indent="    ")
    print_line("")


def _print_tables(found: "Status") -> None:
    print_table(_COLUMNS, [_row(table) for table in found.tables])


def _row(table: "TableStatus") -> list[str]:
    from replicator.cli.durations import in_words

    letters = sum(table.dead_letters.values())
    known = table.stream_arn is not None
    return [
        table.source,
        table.state if known or table.remedy != "replicator migrate" else "unregistered",
        in_words(table.lag_seconds),
        in_words(table.retention_headroom_seconds),
        _shards(table) if known else "-",
        str(letters) if letters else "-",
    ]


def _shards(table: "TableStatus") -> str:
    from replicator.core.status.document import SHARD_STATES

    counts: Iterable[tuple[str, int]] = (
        (state, table.shards.get(state, 0)) for state in SHARD_STATES
    )
    return ", ".join(f"{count} {state}" for state, count in counts if count) or "-"


def _print_workers(found: "Status") -> None:
    from replicator.cli.durations import in_words

    if not found.workers:
        return
    print_line("")
    print_table(
        ("WORKER", "LEASES", "SEEN"),
        [
            [worker.id, str(worker.leases), f"{in_words(worker.seen_seconds_ago)} ago"]
            for worker in found.workers
        ],
    )
