"""`replicator plan`: what `migrate` would do, and what a changed mapping asks for besides."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from replicator.app.plan import SampledFit, sampled_fit, survey_changes
from replicator.cli.terminal.options import AsJson, ConfigFile, load_settings
from replicator.cli.terminal.output import ExitCode, print_document, print_failure, print_line
from replicator.config.settings import Settings
from replicator.core.check_findings import document
from replicator.core.snapshot.scan_and_export_cost import ScanCost, export_cost, scan_price
from replicator.core.status.duration_words import in_words
from replicator.postgres.schema.database_survey import Need, Survey


def sample_lines(found: SampledFit) -> Iterator[str]:
    """Comments below the SQL: what is rejected stands out."""
    for source, (items, targets) in found.items():
        yield f"-- table {source}: {items} items were sampled"
        for target in targets:
            yield (
                f"--   {target.target}: {target.items} items belong here, {target.fits} fit, "
                f"about {target.row_bytes} bytes a row"
            )
            for column in target.columns:
                yield (
                    f"--     {column.name}: {column.converts} convert, {column.null} NULL, "
                    f"{column.rejected} rejected"
                )
                yield from (f"--       {reason}" for reason in column.reasons)


def sample_document(found: SampledFit) -> list[dict[str, Any]]:
    """The sample's fit as JSON."""
    return [
        {
            "table": source,
            "sampled": items,
            "targets": [
                {
                    "target": target.target,
                    "items": target.items,
                    "fits": target.fits,
                    "row_bytes": target.row_bytes,
                    "columns": [
                        {
                            "column": column.name,
                            "converts": column.converts,
                            "null": column.null,
                            "rejected": column.rejected,
                            "reasons": list(column.reasons),
                        }
                        for column in target.columns
                    ],
                }
                for target in targets
            ],
        }
        for source, (items, targets) in found.items()
    ]


WithExitCode = Annotated[
    bool, typer.Option("--exit-code", help="End with 1 when there is something to do.")
]
_REMEDIES = {
    "register": "`replicator migrate` records it",
    "backfill": "`replicator migrate` asks for it, and the workers do it beside the stream",
    "snapshot": "`replicator migrate` asks for it, and the workers do it beside the stream",
    "ask": "after `replicator migrate`: `replicator snapshot --table {table}`, if you want that",
}
_SCANS = ("backfill", "snapshot", "ask")
"""Needs that read the whole table."""

All = Annotated[
    bool,
    typer.Option("--all", help="Print the control schema's statements too; `--json` has them."),
]
SampleSize = Annotated[
    int,
    typer.Option(
        "--sample",
        metavar="N",
        min=0,
        max=100_000,
        help="Sample about so many items of each table, and say how they fit the mapping.",
    ),
]


def plan(
    *,
    as_json: AsJson = False,
    exit_code: WithExitCode = False,
    sample: SampleSize = 0,
    everything: All = False,
    config: ConfigFile = None,
) -> None:
    """Print the SQL that `migrate` would run and the locks, and what else is asked for.

    The control schema's own statements are counted; `--all` prints them.
    With `--sample` it says for each column how many values of a sample would convert, be NULL or
    be rejected. Changes nothing. Ends with 2 when `migrate` would refuse to begin; of a table that
    `migrate` would leave as it is, the error is printed.

    Example: replicator plan --sample 1000
    """

    settings = load_settings(config)
    survey, costs = asyncio.run(survey_changes(settings))
    found = asyncio.run(sampled_fit(settings, sample)) if sample else {}
    changes = bool(survey.control_sql or survey.statements or survey.grants or survey.needs)
    if as_json:
        extra = {"samples": sample_document(found)} if sample else {}
        print_document(_document(survey, costs, _loads(settings), changes=changes) | extra)
    else:
        said = _lines(survey, costs, _loads(settings), changes=changes, everything=everything)
        for line in (*said, *sample_lines(found)):
            print_line(line)
    for conflict in survey.conflicts:
        print_failure(conflict)
    if survey.conflicts or survey.types or survey.creation:
        raise typer.Exit(ExitCode.WRONG_USAGE)
    if changes and exit_code:
        raise typer.Exit(ExitCode.FINDINGS)


def _loads(settings: "Settings") -> dict[str, str]:
    """The words for the first load of each table that workers read."""
    return {
        name: table.initial_load
        for name, table in settings.tables.items()
        if table.poller == "daemon"
    }


def _reads_all(need: "Need", loads: Mapping[str, str]) -> bool:
    """True for a need that scans the whole table."""
    return need.kind in _SCANS or (need.first and loads.get(need.source) == "snapshot")


def _lines(
    survey: "Survey",
    costs: Mapping[str, "ScanCost"],
    loads: Mapping[str, str],
    *,
    changes: bool,
    everything: bool,
) -> Iterator[str]:
    if not changes:
        yield "nothing to do"
    if survey.control_sql:
        yield from _control_schema(survey.control_sql, survey.revision, everything=everything)
    for statement in (*survey.statements, *survey.grants):
        yield f"-- {statement.table}; locks: {statement.locks}"
        yield f"{statement.sql};"
        yield ""
    for need in survey.needs:
        yield f"-- table {need.source}: {need.what}"
        yield f"--   {_remedy(need, survey)}"
        if _reads_all(need, loads):
            subject = "its first load" if need.first else "that"
            yield f"--   {subject} {_cost(costs[need.source])}"
        if _reads_all(need, loads) or loads.get(need.source) == "export":
            yield f"--   {_export_cost(costs[need.source])}"
    for finding in (*survey.creation, *survey.lasting):
        yield f"-- {finding.severity}: {finding.where}: {finding.message}"
        yield f"--   {finding.remedy}"


def _control_schema(sql: str, revision: str | None, *, everything: bool) -> Iterator[str]:
    does = "is made" if revision is None else "is brought up to date"
    locks = "none: it is new" if revision is None else "brief ones on its tables"
    yield f"-- the control schema {does}; locks: {locks}"
    if everything:
        yield sql
    else:
        yield f"--   {len(sql.splitlines())} lines of SQL: `replicator plan --all` prints them"
    yield ""


def _document(
    survey: "Survey", costs: Mapping[str, "ScanCost"], loads: Mapping[str, str], *, changes: bool
) -> dict[str, Any]:

    return {
        "changes": changes,
        "control_schema": {"revision": survey.revision, "sql": survey.control_sql or None},
        "statements": [
            {"table": statement.table, "sql": statement.sql, "locks": statement.locks}
            for statement in (*survey.statements, *survey.grants)
        ],
        "tables": [
            {
                "table": need.source,
                "needs": need.kind,
                "why": need.what,
                "remedy": _remedy(need, survey),
                "items": costs[need.source].items if _reads_all(need, loads) else 0,
                "read_units": costs[need.source].read_units if _reads_all(need, loads) else 0,
                "scan_usd": round(scan_price(costs[need.source].read_units), 2),
                "export_usd": round(export_cost(costs[need.source].size_bytes), 2),
            }
            for need in survey.needs
        ],
        "conflicts": [
            {"message": str(conflict), "remedy": conflict.remedy} for conflict in survey.conflicts
        ],
        "findings": [document(finding) for finding in (*survey.creation, *survey.lasting)],
    }


def _remedy(need: "Need", survey: "Survey") -> str:
    if need.source in survey.refused:
        finding = survey.refused[need.source]
        return (
            "`replicator migrate` would not register it and leave the table as it is, as "
            f"{finding.where} does not fit: {finding.message}"
        )
    return _REMEDIES[need.kind].format(table=need.source)


def _cost(cost: "ScanCost") -> str:

    return (
        f"reads about {cost.items} items: {cost.read_units} read units, "
        f"{in_words(cost.seconds)} at the configured rate, about "
        f"{scan_price(cost.read_units):.2f} USD on demand"
    )


def _export_cost(cost: "ScanCost") -> str:

    return (
        f"an export to S3 uses no read unit, and is about {export_cost(cost.size_bytes):.2f} USD "
        "in us-east-1"
    )
