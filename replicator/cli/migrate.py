"""`replicator migrate`: control schema, target tables and registrations, brought up to date."""

import asyncio

import typer

from replicator.app.migrate import migrate_tables
from replicator.cli.terminal.options import ConfigFile, load_settings
from replicator.cli.terminal.output import ExitCode, print_line, print_note
from replicator.config.settings import Settings

RESTART = (
    "Restart every worker that still has the former configuration: it leaves those tables alone "
    "until then, and `replicator status` names it."
)
REFUSED = (
    "the changed mapping of table {source} is not registered, and nothing was changed for it, as "
    "{finding.where} does not fit: {finding.message}; workers go on with the former mapping. "
    "Fix the error, then run `replicator migrate` again."
)


def migrate(*, config: ConfigFile = None) -> None:
    """Create or extend the control schema and the target tables; safe beside running workers.

    Does what `plan` prints, and nothing when called again. Ends with 1 when a table that exists
    does not fit: what was done stays done, and a changed mapping that does not fit is not
    registered, so that workers go on with the former one.

    Example: replicator migrate
    """
    migrate_with(load_settings(config))


def migrate_with(settings: "Settings", *, forwards_only: bool = False) -> None:
    """Migrate and print what was done; `forwards_only`: refuse to go back to an older mapping."""
    done = asyncio.run(migrate_tables(settings, forwards_only=forwards_only))
    for line in done.done:
        print_line(line)
    if any(" mapping " in line and line.startswith("registered ") for line in done.done):
        print_note(RESTART)
    if not done.done and not done.refused:
        print_line("nothing to do")
    failed = bool(done.refused)
    for source, finding in done.refused:
        print_note(REFUSED.format(source=source, finding=finding))
    for finding in done.findings:
        print_note(f"{finding.severity}: {finding.where}: {finding.message}\n  {finding.remedy}")
        failed = failed or finding.severity == "error"
    if failed:
        raise typer.Exit(ExitCode.FINDINGS)
