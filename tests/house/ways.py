"""Follows a call through the package: which modules it enters, and how often it comes back."""

import inspect
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import replicator
from replicator.config.load_settings import load
from replicator.core.mapping.compile_mapping import compile_table
from replicator.core.table_spec import SourceKey

PACKAGE = Path(replicator.__file__).parent
_CONTINUED = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


@dataclass
class Way:
    """The modules of one way in the order in which they are entered, repetitions folded."""

    stays: list[str] = field(default_factory=list)
    calls: Counter[tuple[str, object]] = field(default_factory=Counter)
    """Calls of each function that was asked for by name, with its first argument."""
    entered: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls of each function: its module and its name."""

    @property
    def modules(self) -> list[str]:
        """The modules, each once, in the order of the first visit."""
        return list(dict.fromkeys(self.stays))

    @property
    def returns(self) -> int:
        """Visits of a module that had been left before."""
        return len(self.stays) - len(self.modules)


@contextmanager
def followed(*names: str) -> Iterator[Way]:
    """Note every module of the package that is entered; `names` are functions to count."""
    way = Way()
    root = f"{PACKAGE}/"
    waiting: list[FrameType] = []
    """Frames that were entered already: a coroutine, or a generator of any kind, that goes on is no
    new visit."""

    def note(frame: FrameType, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event != "call" or not file.startswith(root):
            return
        if frame.f_code.co_flags & _CONTINUED:
            if any(frame is entered for entered in waiting):
                return
            waiting.append(frame)
        module = file.removeprefix(root)
        way.entered[module, frame.f_code.co_qualname] += 1
        if not way.stays or way.stays[-1] != module:
            way.stays.append(module)
        if frame.f_code.co_name in names:
            first = frame.f_locals.get(frame.f_code.co_varnames[0])
            way.calls[frame.f_code.co_name, first] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield way
    finally:
        sys.setprofile(before)


@dataclass(frozen=True)
class ColumnWay:
    """The way of one column: the calls that a configuration makes more because of it."""

    modules: list[str]
    returns: int
    calls: Counter[tuple[str, object]]


CONFIGURATION = """
version: 1
deployment: ways
tables:
  orders:
    into:
      public.orders:
        key: {id: {from: pk, type: text}}
        columns:
          status: text
"""
COLUMN = """\
          total: {from: total, type: "numeric(12,2)"}
"""


def column_way(path: Path) -> ColumnWay:
    """The way of one column, file to compiled mapping, once all constants are made.

    A configuration is followed with the column and without it, so that nothing is counted that the
    rest of the configuration asks for. A module is passed where the column makes a call more.
    """
    without, having = _compiling(path, CONFIGURATION), _compiling(path, CONFIGURATION + COLUMN)
    passed = {module for module, _ in having.entered - without.entered}
    modules = [module for module in having.modules if module in passed]
    visits = len(having.stays) - len(without.stays)
    return ColumnWay(modules, visits - len(modules), having.calls)


def _compiling(path: Path, configuration: str) -> Way:
    path.write_text(configuration)
    for _ in range(2):
        with followed("parse_type", "parse_path") as way:
            [spec] = load(path, {}).table_specs().values()
            compile_table(spec, SourceKey((("pk", "S"),)))
    return way
