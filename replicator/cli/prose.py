"""Sentences on stdout: wrapped for whoever reads a terminal, one line each for anything else."""

import shutil
import sys
import textwrap

from replicator.cli.output import print_line, printable


def print_prose(text: str, *, indent: str = "") -> None:
    """One sentence, indented; what is printed cannot steer a terminal."""
    line = printable(text)
    if not sys.stdout.isatty():
        print_line(f"{indent}{line}")
        return
    width = max(40, shutil.get_terminal_size().columns - 1)
    print_line(
        textwrap.fill(
            line,
            width,
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
