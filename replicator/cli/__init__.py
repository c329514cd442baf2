"""The command line: commands registered, failures turned into one message and an exit code."""

import sys
from typing import NoReturn

import typer

from replicator.cli.terminal.lazy_commands import CommandEntry, lazy_group
from replicator.cli.terminal.options import ConfigFile
from replicator.cli.terminal.output import ExitCode, abandon_stdout, exit_code_of, print_failure
from replicator.cli.version import AsVersion
from replicator.errors import ReplicatorError

# in the order in which a person meets them; each line fits a terminal as it is
COMMANDS = {
    name: CommandEntry(f"replicator.cli.{place}", short_help)
    for name, place, short_help in (
        ("init", "init:init", "Propose a configuration for DynamoDB tables"),
        ("check", "check:check", "Find what keeps the configuration from working"),
        ("plan", "plan:plan", "Print the SQL that `migrate` would run"),
        ("migrate", "migrate:migrate", "Create or extend control schema and target tables"),
        ("run", "run:run", "Replicate until SIGTERM, or until caught up"),
        ("status", "status:status", "Say what is wrong first, and which command fixes it"),
        ("verify", "verify:verify", "Compare source and target, repair what differs"),
        ("explain", "explain:explain", "Show one item on both sides, and why they differ"),
        ("snapshot", "snapshot:snapshot", "Load a whole table beside its running stream"),
        ("pause", "pause:pause", "Stop writing a table until it is resumed"),
        ("resume", "pause:resume", "Let a paused or halted table go on"),
        ("forget", "forget:forget", "Drop a table's positions, gaps and dead letters"),
        ("map", "map:map_items", "Show the rows that items become, offline"),
        ("selftest", "selftest:selftest", "Try the engine in your own account, and measure it"),
        ("demo", "demo:demo", "Watch a table replicate, with servers of its own"),
        ("version", "version:version", "Say which version this is"),
        (
            "dead-letters",
            "dead_letters:app",
            "See records that could not be applied, and replay them",
        ),
        ("gaps", "gaps:app", "See where changes may be lost, and accept it"),
        ("lambda", "lambda_redrive:app", "Give batches that AWS Lambda gave up back"),
    )
}

app = typer.Typer(
    name="replicator",
    cls=lazy_group(COMMANDS, {"dl": "dead-letters"}),
    no_args_is_help=True,
    rich_markup_mode=None,  # drawing frames would cost half a second
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def replicator(config: ConfigFile = None, *, as_version: AsVersion = False) -> None:
    """Keep PostgreSQL tables equal to DynamoDB tables.

    Exit codes: 0 fine, 1 findings, 2 wrong usage or configuration, 3 a table was stopped,
    4 could not tell because a server was unreachable.

    Short: -c is --config, -t is --table, and dl is dead-letters.

    Example: replicator --config replicator.yaml check
    """


def main() -> NoReturn:
    """The console script: never a traceback for what a person can fix."""
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_stdout()
        code = ExitCode.PIPE_CLOSED
    sys.exit(code)


def _run() -> int:
    stdout = sys.stdout
    try:
        app(prog_name="replicator")
    except SystemExit as end:
        if sys.stdout is not stdout:  # what Typer does where the reader of its help has left
            return ExitCode.PIPE_CLOSED
        return end.code if isinstance(end.code, int) else ExitCode.FINE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except ReplicatorError as error:
        print_failure(error)
        return exit_code_of(error)
    return ExitCode.FINE
