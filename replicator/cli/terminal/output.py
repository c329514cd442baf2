"""Output of commands: results to stdout, everything else to stderr, exit codes, plural forms."""

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any

from replicator.errors import Disposition, ReplicatorError

SCHEMA_VERSION = 1
SHORT_CELL = 12
"""Length up to which the cells of a column stay whole, whatever the terminal's width."""
_NO_BREAK = "\u00a0"
"""A space at which `textwrap` does not break; no other is in what is printed: it is escaped."""


class ExitCode(IntEnum):
    """Exit codes of commands; part of the contract."""

    FINE = 0
    FINDINGS = 1
    WRONG_USAGE = 2
    STOPPED = 3
    COULD_NOT_TELL = 4
    INTERRUPTED = 130
    PIPE_CLOSED = 141


def exit_code_of(error: ReplicatorError) -> ExitCode:
    """The exit code of a command that a named failure ended."""
    match error.disposition:
        case Disposition.REFUSE:
            return ExitCode.WRONG_USAGE
        case Disposition.RETRY | Disposition.RELEASE:
            return ExitCode.COULD_NOT_TELL
        case Disposition.HALT | Disposition.GAP | Disposition.REJECT:
            return ExitCode.STOPPED


def print_document(document: Mapping[str, Any]) -> None:
    """One JSON document, and nothing else, on stdout; `schema_version` is added."""
    print_line(encode({"schema_version": SCHEMA_VERSION, **document}, indent=2))


def encode(value: object, *, indent: int = 0) -> str:
    """JSON text with every digit of a Decimal, times in ISO 8601 and bytes in base64."""
    import msgspec

    try:
        text = msgspec.json.Encoder(decimal_format="number").encode(value)
    except UnicodeEncodeError:  # a lone surrogate can only be written escaped
        return json.dumps(value, indent=indent or None, default=str)
    return msgspec.json.format(text, indent=indent).decode()


def print_line(text: str) -> None:
    """A line of the result, on stdout."""
    try:
        print(text)
    except BrokenPipeError:
        abandon_stdout()
        raise SystemExit(ExitCode.PIPE_CLOSED) from None


def print_note(text: str) -> None:
    """A line for the person at the terminal, on stderr."""
    print(text, file=sys.stderr)


def print_failure(error: ReplicatorError) -> None:
    """Print a failure and the remedy to stderr."""
    print_note(f"replicator: {error}")
    if error.remedy:
        print_note(f"  {error.remedy}")


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, prose: bool = False
) -> None:
    """A table on stdout: drawn on a terminal, plain aligned columns anywhere else.

    With `prose` the last column is sentences: they go below their rows on a terminal that is too
    narrow for all of it.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    if not cells or not sys.stdout.isatty():
        for line in _aligned(headers, cells):
            print_line(line)
    elif prose and max(map(len, _aligned(headers, cells))) > _columns():
        heads, *lines = _aligned(headers[:-1], [row[:-1] for row in cells])
        print_line(f"{heads}  {headers[-1]}")
        for line, row in zip(lines, cells, strict=True):
            print_line(line)
            print_prose(row[-1], indent="    ")
    else:
        _draw(headers, cells)


def _aligned(headers: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (headers, *cells)
    ]


def printable(text: str) -> str:
    """The text with control characters escaped: what is printed cannot steer a terminal."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def _draw(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    narrow = max(map(len, _aligned(headers, rows))) > _columns()
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for header, column in zip(headers, zip(*rows, strict=True), strict=True):
        table.add_column(
            header.replace(" ", "\n") if narrow else header,
            overflow="fold",  # a name that is cut off cannot be typed
            no_wrap=max(map(len, column)) <= SHORT_CELL,
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def abandon_stdout() -> None:
    """Drop buffered output after the reader of stdout has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_prose(text: str, *, indent: str = "") -> None:
    """One sentence, indented; what is printed cannot steer a terminal.

    A command stays on one line, which a terminal folds without a line break to copy.
    """
    line = printable(text)
    if not sys.stdout.isatty():
        print_line(f"{indent}{line}")
        return
    whole = re.sub(r"`[^`]+`|(?<=^-> )replicator [^`(,]+$", _unbreakable, line)
    filled = textwrap.fill(
        whole,
        _columns() - 1,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    print_line(filled.replace(_NO_BREAK, " "))


def _unbreakable(command: re.Match[str]) -> str:
    return command[0].replace(" ", _NO_BREAK)


def _columns() -> int:
    return max(40, shutil.get_terminal_size().columns)
