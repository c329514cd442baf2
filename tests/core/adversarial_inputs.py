"""Feed every expression of the product long near misses; print the modules they are from.

A program of its own, so that an expression that never ends can be ended: a search holds the
interpreter, and no signal reaches it. Expressions are collected as they are compiled, with the
ways in which their module uses them.
"""

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from typing import Any

LENGTH = 400_000
UNITS = ["0", "1", "9.", ".0", " ", "a", "A", "f-", "-", ":", "1:", "[", "(", "{", '"', "\\", "'"]
UNITS += ['""', '"a",', '{"M":{', '{"L":[', '{"S":"', "a.", "a[0]", "0,", "P1", "\x1e", "a#", "\n"]
ENDS = ["", "!"]
WAYS = ("fullmatch", "match", "search", "sub", "split", "findall")
GUARDED = {r"(\d+(?:\.\d+)?)([smhd])"}
"""Searched only in a text that another expression has matched as a whole."""

compiled: dict[tuple[str, str | bytes], re.Pattern[Any]] = {}
_compile = re.compile


def recorded(pattern: Any, flags: Any = 0) -> re.Pattern[Any]:
    found = _compile(pattern, flags)
    frame = inspect.currentframe()
    module = frame.f_back.f_globals.get("__name__", "") if frame and frame.f_back else ""
    if module.startswith("replicator."):
        compiled[module, found.pattern] = found
    return found


def ways(module: str, pattern: re.Pattern[Any]) -> Iterator[str]:
    """How the module uses the expression: by its name, or bound to one of its methods."""
    yield "fullmatch"
    yield "match"
    source = inspect.getsource(sys.modules[module])
    for name, value in vars(sys.modules[module]).items():
        if value is pattern:
            yield from (way for way in WAYS if f"{name}.{way}(" in source)
        elif getattr(value, "__self__", None) is pattern:
            yield value.__name__


def inputs() -> Iterator[str]:
    for unit in UNITS:
        for end in ENDS:
            yield unit * (LENGTH // len(unit)) + end
            yield "0." + unit * (LENGTH // len(unit)) + end


TEXTS = list(inputs())


def main() -> None:
    re.compile = recorded
    package = importlib.import_module("replicator")
    for found in pkgutil.walk_packages(package.__path__, "replicator."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    checks: Any = sys.modules["replicator.core.values.columnar_checks"]
    texts: Any = sys.modules["replicator.core.values.extension_values"]
    patterns = [checks.DAY, checks.IPV4, checks.MAC, checks.UUID, checks.OFFSET, texts.LABEL_PATH]
    patterns += [checks.numeric(), *(checks.clock(digits) for digits in range(10))]
    for pattern in patterns:
        checks.matching(pattern)
    beyond = sys.modules["replicator.core.values.timestamps"].beyond
    for digits in range(7):
        compiled["replicator.core.values.timestamps", str(digits)] = beyond("truncate", digits)
    for (module, _), pattern in compiled.items():
        if pattern.pattern in GUARDED:
            continue
        for way in sorted(set(ways(module, pattern))):
            # of a hang, its place and expression
            sys.stderr.write(f"{module} {way} {pattern.pattern!r}\n")
            try_all(pattern, way)
    sys.stdout.write("\n".join(sorted({module for module, _ in compiled})))


def try_all(pattern: re.Pattern[Any], way: str) -> None:
    for text in TEXTS:
        given: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
        method = getattr(pattern, way)
        method(type(given)(), given) if way == "sub" else method(given)


if __name__ == "__main__":
    main()
