"""Feed every expression of the product long near misses; print the modules they are from.

A program of its own, so that an expression that never ends can be ended: a search holds the
interpreter, and no signal reaches it. Expressions are collected as they are compiled, with the
ways in which their module uses them, and from the calls of `re.sub` and its like, which a walk over
the source finds. The walk also says which calls, of `re.compile` too, nothing was fed from.

`python -m tests.core.adversarial_inputs few` leaves out all but one text of each unit.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from typing import Any

from tests.core.cpu_time import one_call

LENGTH = 150_000
"""A quadratic search takes a dozen seconds for each text: see tests/core/cpu_time.py."""
UNITS = ["0", "1", "9.", ".0", " ", "a", "A", "f-", "-", ":", "1:", "[", "(", "{", '"', "\\", "'"]
UNITS += ['""', '"a",', '{"M":{', '{"L":[', '{"S":"', "a.", "a[0]", "0,", "P1", "\x1e", "a#", "\n"]
ENDS = ["!", ""]
BEGINNINGS = ["", "0."]
WAYS = ("fullmatch", "match", "search", "sub", "split", "findall")
GUARDED = {r"(\d+(?:\.\d+)?)([smhd])"}
"""Searched only in a text that another expression has matched as a whole."""
NOT_FED = {("replicator.monitoring.http_server", "_digest"): "searches the page of the package"}
"""Functions whose expressions meet no text of a stranger's, with the reason."""

compiled: dict[tuple[str, str | bytes], re.Pattern[Any]] = {}
visited: set[tuple[str, int]] = set()
"""Modules and lines whose `re.compile` was called."""
_compile = re.compile


def recorded(pattern: Any, flags: Any = 0) -> re.Pattern[Any]:
    found = _compile(pattern, flags)
    frame = inspect.currentframe()
    caller = frame.f_back if frame else None
    module = caller.f_globals.get("__name__", "") if caller else ""
    if caller and module.startswith("replicator."):
        compiled[module, found.pattern] = found
        visited.add((module, caller.f_lineno))
    return found


def calls(module: str, tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """The calls of `re` in a module, with the function that each stands in."""

    def within(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
        for child in ast.iter_child_nodes(node):
            inner = function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = child.name
            match child:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=attr)):
                    if attr in {*WAYS, "compile", "subn", "finditer"}:
                        yield inner, child
                case (
                    ast.ImportFrom(module="re")
                    | ast.Import(names=[ast.alias(name="re", asname=str())])
                ):
                    message = f"{module}: import `re` by its name, so that its calls are found"
                    raise SystemExit(message)
            yield from within(child, inner)

    yield from within(tree, "")


def inline(module: str) -> Iterator[tuple[re.Pattern[Any], str]]:
    """The expressions of the module's own calls, which `re` compiles out of sight; those that
    cannot be told, and what was to be compiled and was not, end the program.
    """
    source = sys.modules[module]
    for function, call in calls(module, ast.parse(inspect.getsource(source))):
        assert isinstance(call.func, ast.Attribute)
        way, place = call.func.attr, f"{module}:{call.lineno} in {function or 'the module'}"
        if (module, function) in NOT_FED:
            continue
        if way == "compile":
            lines = range(call.lineno, (call.end_lineno or call.lineno) + 1)
            if not any((module, line) in visited for line in lines):
                raise SystemExit(f"{place}: nothing was fed to what this call compiles")
            continue
        try:
            text = eval(ast.unparse(call.args[0]), dict(vars(source)))  # noqa: S307 (own source)
        except NameError as error:
            message = f"{place}: {error}; make the expression a constant, or say why in NOT_FED"
            raise SystemExit(message) from error
        fed = {"subn": "sub", "finditer": "findall"}.get(way, way)
        if isinstance(text, re.Pattern):
            yield text, fed
        else:
            yield _compile(text), fed


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
    """Near misses of each unit beside each other, the plainest of them first."""
    for unit in UNITS:
        for end in ENDS:
            for beginning in BEGINNINGS:
                yield beginning + unit * (LENGTH // len(unit)) + end


def main(texts: list[str]) -> None:
    re.compile = recorded
    package = importlib.import_module("replicator")
    for found in pkgutil.walk_packages(package.__path__, "replicator."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    checks: Any = sys.modules["replicator.core.values.columnar_cells"]
    extensions: Any = sys.modules["replicator.core.values.by_type.extension_values"]
    types: Any = sys.modules["replicator.core.values.column_types"]
    patterns = [types.DAY, types.IPV4, types.MAC, types.UUID, types.OFFSET]
    patterns.append(extensions.LABEL_PATH)
    patterns += [types.numeric_pattern(), *(types.clock_pattern(digits) for digits in range(10))]
    for pattern in patterns:
        checks.matching(pattern)
    beyond = sys.modules["replicator.core.values.by_type.timestamps"].beyond
    beyond("reject")
    for digits in range(7):
        beyond("truncate", digits)
    for (module, _), pattern in compiled.items():
        if pattern.pattern in GUARDED:
            continue
        for way in sorted(set(ways(module, pattern))):
            # of a hang, its place and expression
            sys.stderr.write(f"{module} {way} {pattern.pattern!r}\n")
            try_all(pattern, way, texts)
    fed = {module for module, _ in compiled}
    for module in sorted(name for name in sys.modules if name.startswith("replicator.")):
        for pattern, way in inline(module):
            sys.stderr.write(f"{module} {way} {pattern.pattern!r}\n")
            try_all(pattern, way, texts)
            fed.add(module)
    sys.stdout.write("\n".join(sorted(fed)))


def try_all(pattern: re.Pattern[Any], way: str, texts: list[str]) -> None:
    for text in texts:
        one_call()
        given: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
        method = getattr(pattern, way)
        method(type(given)(), given) if way == "sub" else method(given)


if __name__ == "__main__":
    of_a_unit = len(ENDS) * len(BEGINNINGS)
    main([*inputs()][:: of_a_unit if "few" in sys.argv else 1])
