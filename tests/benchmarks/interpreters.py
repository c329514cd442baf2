"""Interpreters that a worker is run under: the one that runs this, and others by their paths."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_SAYS_VERSION = "import platform; print(platform.python_version())"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A program, and the name of a worker under it."""

    path: str
    name: str


def interpreters(paths: Sequence[str]) -> list[Interpreter]:
    """The one that runs this, then those at the paths, which have all that a worker imports."""
    found = []
    for number, path in enumerate((sys.executable, *paths)):
        said = subprocess.run([path, "-c", _SAYS_VERSION], check=True, capture_output=True)
        which = f"another {number}" if number else "this"
        found.append(Interpreter(path, f"worker, CPython {said.stdout.decode().strip()}, {which}"))
    return found
