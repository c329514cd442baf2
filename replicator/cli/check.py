"""`replicator check`: every finding with a remedy, in one run."""

import asyncio
from itertools import groupby
from pathlib import Path

import typer

from replicator.cli.terminal.options import AsJson, ConfigFile, load_settings
from replicator.cli.terminal.output import ExitCode, print_document, print_line, print_prose
from replicator.config.mistakes import WrongConfiguration, dotted
from replicator.core.check_findings import Finding, document


def check(*, as_json: AsJson = False, config: ConfigFile = None) -> None:
    """Look for everything that keeps the configuration from working; changes nothing.

    Ends with 1 when there are errors, with 4 when a server could not be reached, else with 0.

    Example: replicator check --json
    """

    findings = _findings(config)
    code = _exit_code(findings)
    if as_json:
        print_document(
            {
                "ok": code == ExitCode.FINE,
                "findings": [document(finding) for finding in findings],
            }
        )
    else:
        _print(findings)
    if code:
        raise typer.Exit(code)


def _findings(config: Path | None) -> list["Finding"]:

    from replicator.app.check import check

    try:
        settings = load_settings(config)
    except WrongConfiguration as error:
        return [
            Finding(
                "error",
                mistake.where,
                ": ".join(filter(None, [dotted(mistake.path), mistake.fault])),
                mistake.remedy or "docs/configuration.md lists what can be said",
            )
            for mistake in error.mistakes
        ]
    return asyncio.run(check(settings))


def _exit_code(findings: list["Finding"]) -> ExitCode:
    """The exit code: a finding known to be wrong outranks one that could not be examined."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if any(not finding.unreachable for finding in errors):
        return ExitCode.FINDINGS
    return ExitCode.COULD_NOT_TELL if errors else ExitCode.FINE


def _print(findings: list["Finding"]) -> None:
    for remedy, alike in groupby(findings, key=lambda finding: finding.remedy):
        for finding in alike:
            word = "unreachable" if finding.unreachable else finding.severity
            print_prose(f"{word}: {finding.where}: {finding.message}")
        for line in remedy.splitlines():
            print_prose(line, indent="  ")
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    counts = f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}"
    print_line(counts if findings else "everything fits")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
