"""`replicator run`: the daemon, or one catch-up for cron, CI and tests."""

import asyncio
from typing import Annotated

import typer

from replicator.app.daemon.gc_tuning import expect_lasting_objects
from replicator.app.daemon.run import run as run_daemon
from replicator.cli.terminal.options import ConfigFile, load_settings
from replicator.cli.terminal.output import ExitCode, print_note
from replicator.monitoring.log_output import configure_logs


def run(
    config: ConfigFile = None,
    until_caught_up: Annotated[
        bool,
        typer.Option(
            "--until-caught-up",
            help="Apply what the streams hold now, then end: for cron, CI and tests.",
        ),
    ] = False,
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Do what `replicator migrate` does first.")
    ] = False,
) -> None:
    """Replicate until SIGTERM or SIGINT, then drain, checkpoint and release the leases.

    Example: replicator run --config replicator.yaml
    """

    expect_lasting_objects()
    settings = load_settings(config)
    configure_logs(level=settings.log.level, format=settings.log.format)
    if migrate:
        from replicator.cli.migrate import migrate_with

        migrate_with(settings, forwards_only=True)
    ended = asyncio.run(run_daemon(settings, until_caught_up=until_caught_up))
    if ended.new_dead_letters:
        print_note(
            f"replicator: {ended.new_dead_letters} records became dead letters: "
            "`replicator dead-letters list` shows them"
        )
    if ended.stopped:
        print_note(
            f"replicator: stopped: {', '.join(ended.stopped)}; "
            "`replicator status` shows why and what fixes it"
        )
        raise typer.Exit(ExitCode.STOPPED)
