"""`replicator selftest`: the real engine on a scratch table in one's own account."""

import asyncio
import sys
from typing import Annotated

import typer

from replicator.cli.terminal.options import AsJson, ConfigFile, load_settings
from replicator.cli.terminal.output import (
    ExitCode,
    print_document,
    print_line,
    print_note,
    print_table,
)
from replicator.errors import ConfigurationError
from replicator.monitoring.log_output import configure_logs
from replicator.selftest.assumptions import document
from replicator.selftest.selftest_run import Leftovers, Report, SelfTest

COST = (
    "It makes a DynamoDB table and a lease table on demand (a few hundred writes and reads: less "
    "than one US cent), and two schemas in PostgreSQL, for about a minute, and deletes all of them."
)
WithoutAsking = Annotated[bool, typer.Option("--yes", help="Begin without asking.")]
Clean = Annotated[
    bool, typer.Option("--clean", help="Only delete what earlier self-tests have left behind.")
]


def selftest(
    *,
    yes: WithoutAsking = False,
    clean: Clean = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Replicate a scratch table with the real engine, compare, and measure the service.

    Uses source, coordination and target of the configuration, under names of its own; no table of
    the configuration is touched. Says what it costs and asks first; deletes what it made, also
    after Ctrl-C. Ends with 0 when both sides were equal and every belief about DynamoDB Streams
    held, 1 when not, 4 when a server was away.

    Example: replicator selftest --yes --json
    """
    settings = load_settings(config)
    configure_logs(level="warning")
    test = SelfTest(settings)
    left = asyncio.run(test.leftovers())
    _tell_of(left)
    if clean:
        asyncio.run(test.clean(left))
        print_line(f"deleted {len(left.tables)} tables and {len(left.schemas)} schemas")
        return
    if not yes:
        _ask()
    report = asyncio.run(test.run(print_note))
    if as_json:
        print_document(_document(report))
    else:
        _print(report)
    if not report.well:
        raise typer.Exit(ExitCode.FINDINGS)


def _tell_of(left: Leftovers) -> None:
    names = [*left.tables, *left.schemas]
    if names:
        print_note(f"earlier self-tests have left behind: {', '.join(names)}")
        print_note("  `replicator selftest --clean` deletes them")


def _ask() -> None:
    print_note(COST)
    if not sys.stdin.isatty():
        message = "nobody can be asked whether the self-test may begin: stdin is no terminal"
        raise ConfigurationError(message, remedy="say --yes")
    typer.confirm("Begin?", abort=True, err=True)


def _print(report: Report) -> None:
    print_line("both sides are equal" if report.equal else "BOTH SIDES DIFFER")
    rows = [
        (result.target, str(result.compared), str(result.unequal), str(result.rejected))
        for result in report.results
    ]
    print_table(("TARGET", "COMPARED", "UNEQUAL", "REJECTED"), rows)
    print_line("")
    marks = {True: "holds", False: "DOES NOT HOLD", None: "-"}
    facts = [(fact.name, fact.belief, fact.measured, marks[fact.holds]) for fact in report.facts]
    print_table(("FACT", "BELIEF", "MEASURED", ""), facts)


def _document(report: Report) -> dict[str, object]:
    return {
        "well": report.well,
        "equal": report.equal,
        "changes": report.changes,
        "tables": [
            {
                "target": result.target,
                "compared": result.compared,
                "unequal": result.unequal,
                "rejected": result.rejected,
            }
            for result in report.results
        ],
        "facts": document(report.facts),
    }
