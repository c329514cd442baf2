"""The command line: commands registered, failures turned into one message and an exit code."""

import sys
from typing import NoReturn

import typer

from replicator.cli import (
    check,
    dead_letters,
    demo,
    explain,
    forget,
    gaps,
    init,
    migrate,
    pause,
    plan,
    replay,
    run,
    snapshot,
    status,
    verify,
    version,
)
from replicator.cli import map as map_command
from replicator.cli.options import ConfigFile
from replicator.cli.output import ExitCode, abandon_stdout, exit_code_of, print_failure
from replicator.errors import ReplicatorError

app = typer.Typer(
    name="replicator",
    no_args_is_help=True,
    rich_markup_mode=None,  # drawing frames would cost half a second
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# in the order in which a person meets them; each line fits a terminal as it is
app.command(short_help="Propose a configuration for DynamoDB tables")(init.init)
app.command(short_help="Find what keeps the configuration from working")(check.check)
app.command(short_help="Print the SQL that `migrate` would run")(plan.plan)
app.command(short_help="Create or extend control schema and target tables")(migrate.migrate)
app.command(short_help="Replicate until SIGTERM, or until caught up")(run.run)
app.command(short_help="Say what is wrong first, and which command mends it")(status.status)
app.command(short_help="Compare source and target, repair what differs")(verify.verify)
app.command(short_help="Show one item on both sides, and why they differ")(explain.explain)
app.command(short_help="Load a whole table beside its running stream")(snapshot.snapshot)
app.command(short_help="Stop writing a table until it is resumed")(pause.pause)
app.command(short_help="Let a paused or halted table go on")(pause.resume)
app.command(short_help="Drop a table's positions, gaps and dead letters")(forget.forget)
app.command("map", short_help="Show the rows that items become, offline")(map_command.map_items)
app.command(short_help="Watch a table replicate; needs nothing")(demo.demo)
app.command(short_help="Say which version this is")(version.version)
dead_letters.app.command(short_help="Try open ones again, as the mapping is now")(replay.replay)
dead_letters.app.command(short_help="Close open ones without applying them")(replay.discard)
app.add_typer(
    dead_letters.app, name="dead-letters", short_help="See what was set aside, and try it again"
)
app.add_typer(gaps.app, name="gaps", short_help="See where changes may be lost, and accept it")


@app.callback()
def replicator(config: ConfigFile = None) -> None:
    """Keep PostgreSQL tables equal to DynamoDB tables.

    Exit codes: 0 fine, 1 findings, 2 wrong usage or configuration, 3 a table was stopped,
    4 could not tell because a server was unreachable.

    Example: replicator --config replicator.yaml check
    """


def main() -> NoReturn:
    """The console script: never a traceback for what a person can mend."""
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_stdout()
        code = ExitCode.PIPE_CLOSED
    sys.exit(code)


def _run() -> int:
    try:
        app(prog_name="replicator")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.FINE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except ReplicatorError as error:
        print_failure(error)
        return exit_code_of(error)
    return ExitCode.FINE
