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
    pausing,
    plan,
    replaying,
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

app.command()(run.run)
app.command()(init.init)
app.command()(check.check)
app.command()(plan.plan)
app.command()(migrate.migrate)
app.command()(snapshot.snapshot)
app.command()(status.status)
app.command()(verify.verify)
app.command()(explain.explain)
app.command()(pausing.pause)
app.command()(pausing.resume)
dead_letters.app.command()(replaying.replay)
dead_letters.app.command()(replaying.discard)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(gaps.app, name="gaps")
app.command()(forget.forget)
app.command()(demo.demo)
app.command()(version.version)
app.command("map")(map_command.map_items)


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
