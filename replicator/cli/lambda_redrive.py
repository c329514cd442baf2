"""`replicator lambda`: what AWS Lambda gave up is given back by hand."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from replicator.cli.terminal.options import AsJson, ConfigFile, Who, Why, load_settings, this_user
from replicator.cli.terminal.output import ExitCode, print_document, print_failure, print_prose
from replicator.errors import ConfigurationError, NotClaimable

if TYPE_CHECKING:
    from replicator.app.aws_lambda.redrive_failed_batches import Redriven

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

Files = Annotated[
    list[str], typer.Argument(metavar="FILE…", help="Of the failure destination; - is stdin.")
]

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Read and check all of it, and write nothing.")
]


@app.callback()
def aws_lambda() -> None:
    """Give batches that AWS Lambda gave up back.

    Example: replicator lambda redrive batch.json
    """


@app.command(short_help="Apply batches of the failure destination")
def redrive(
    files: Files,
    *,
    dry_run: DryRun = False,
    why: Why = None,
    who: Who = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Apply batches that Lambda's failure destination holds, in any order and as often as you like.

    Takes objects of S3, messages of SQS (as the AWS CLI prints them) and SNS, and events. Of SQS
    and SNS the records are read from the stream; those that it has dropped are a gap, which
    `replicator gaps list` shows from then on, and the command ends with 3. Rows that are newer
    stay. Who did it and why is recorded.

    Example: replicator lambda redrive batch.json --why "the database was away"
    """
    import asyncio

    from replicator.app.aws_lambda.redrive_failed_batches import redrive as redrive_batches
    from replicator.sources.lambda_events.failed_batches import failed_batches

    settings = load_settings(config)
    batches = [batch for name in files for batch in failed_batches(_read(name), name)]
    found: list[Redriven] = []

    def done(redriven: "Redriven") -> None:
        found.append(redriven)
        if not as_json:
            print_prose(_sentence(redriven))

    try:
        asyncio.run(
            redrive_batches(
                settings,
                batches,
                who=who or this_user(),
                why=why,
                done=done,
                dry_run=dry_run,
            )
        )
    except NotClaimable as error:
        print_failure(error)
        raise typer.Exit(ExitCode.STOPPED) from error
    finally:
        if as_json:
            print_document({"batches": [asdict(each) for each in found]})


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        message = f"{name}: cannot be read: {error.strerror}"
        raise ConfigurationError(message, remedy="name a file that can be read") from error


def _sentence(redriven: "Redriven") -> str:
    if redriven.pending:
        parts = [f"{redriven.pending} would be tried"]
    else:
        parts = [f"{redriven.applied} applied"]
    parts += [
        f"{count} {words}"
        for count, words in (
            (redriven.superseded, "there already or superseded"),
            (redriven.filtered, "filtered"),
            (redriven.dead_letters, "dead letters"),
            (redriven.loaded, "loaded by a snapshot since"),
        )
        if count
    ]
    return f"{redriven.where}: table {redriven.table}, {redriven.records} records: " + ", ".join(
        parts
    )
