"""Every bound of a wait in the tests is scaled with the machine, by tests/support/bounds.py.

What counts as a bound is told from the source alone: the argument of a timeout, `seconds=` of
something awaited, the default of a parameter with such a name, the setting of that name in a
configuration, and what a clock is added to. Files that run in virtual time, and those of the core,
wait for nobody: there it is only what bounds a test as a whole. The benchmarks, which measure, are
left out.
"""

import ast
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import bounds, warm_start
from tests.support.waiting import Patience

TESTS = Path(__file__).parent
BOUNDS = Path(bounds.__file__)
VIRTUAL = ("tests.support.virtual_time", "tests.engine.simulation")
KEYWORDS = {"timeout", "lease_seconds", "shutdown_seconds", "seconds_left"}
FIRST_ARGUMENT = {"timeout", "settimeout", "wait"}
SECOND_ARGUMENT = {"wait_for"}
MAY_SLEEP = {
    "support/waiting.py",
    # the delay is the fault that was asked for
    *("support/proxy.py", "support/scripted_streams/sending.py"),
    "support/scripted_streams/server.py",
    # a latency of virtual time
    "scale/servers.py",
}
MAY_BE_SHORT = {
    "contract/test_fence.py": "a session in the way is waited for, and then no more",
    "faults/test_frozen.py": "an owner that is frozen is replaced within seconds",
    "faults/test_must_be_seen.py": "a worker ends within ten seconds",
    "faults/test_processes.py": "a worker ends within ten seconds",
    "lambda_mode/test_function.py": "an invocation ends before its time is over",
    "monitoring/test_http_server.py": "what is blocked gives no answer",
    "postgres/test_end_frozen_sessions.py": "a session that is told to end ends",
    "support/daemon.py": "a page is asked for again and again, also of a worker that is frozen",
    "support/lambda_runtime.py": "the time that Lambda allows for an event",
    "support/pgbouncer.py": "a port is tried again and again",
    "support/scripted_streams/server.py": "what is under way at the end is of no interest",
    "end_to_end/test_behind_a_pooler.py": "a limit of the pooler",
}
"""Files with bounds below the usual one, which may tell a slow machine from a hang no more."""
CLOCKS = {"monotonic", "time"}
CORE = TESTS / "core"


def virtual(tree: ast.Module, path: Path) -> bool:
    """It runs in virtual time, or is what makes that, or tests what knows no time."""
    imported = {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }
    return bool(imported & set(VIRTUAL)) or path.name == "virtual_time.py" or CORE in path.parents


FILES = [
    path
    for path in sorted(TESTS.rglob("*.py"))
    if path != BOUNDS and "benchmarks" not in path.relative_to(TESTS).parts
]


def called(node: ast.Call) -> str:
    """The last part of what is called."""
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def is_bound(keyword: str) -> bool:
    return keyword in KEYWORDS or keyword.endswith(("_timeout", "_timeout_seconds"))


def constants_of(tree: ast.Module) -> dict[str, ast.expr]:
    """What a file's own names stand for."""
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=targets, value=value):
                found |= {each.id: value for each in targets if isinstance(each, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found[name] = value
            case _:
                pass
    return found


def bounds_of(tree: ast.Module) -> Iterator[ast.expr]:
    """Every expression that bounds a wait."""
    awaited = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Await) and isinstance(node.value, ast.Call)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                yield from _of_call(node, is_awaited=node in awaited)
            case ast.BinOp(left=ast.Call() as clock, op=ast.Add(), right=bound):
                if called(clock) in CLOCKS and not clock.args:
                    yield bound
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from _defaults(node.args)
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=str(name)))]):
                if is_bound(name):
                    yield node.value
            case ast.Dict():
                yield from _entries(node)


def bounds_of_tests(tree: ast.Module) -> Iterator[ast.expr]:
    """What pytest-timeout is given."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.timeout":
            yield from node.args


def _of_call(node: ast.Call, *, is_awaited: bool) -> Iterator[ast.expr]:
    name = called(node)
    if name in FIRST_ARGUMENT and node.args:
        yield node.args[0]
    if name in SECOND_ARGUMENT and len(node.args) > 1:
        yield node.args[1]
    for keyword in node.keywords:
        if keyword.arg and (
            is_bound(keyword.arg)
            or (keyword.arg == "seconds" and is_awaited)
            or (keyword.arg == "total" and name == "ClientTimeout")
        ):
            yield keyword.value


def _defaults(arguments: ast.arguments) -> Iterator[ast.expr]:
    named = [*arguments.posonlyargs, *arguments.args]
    for argument, default in (
        *zip(named[len(named) - len(arguments.defaults) :], arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ):
        if default is not None and (argument.arg == "seconds" or is_bound(argument.arg)):
            yield default


def _entries(settings: ast.Dict) -> Iterator[ast.expr]:
    for key, value in zip(settings.keys, settings.values, strict=True):
        match key:
            case ast.Constant(value=str(name)) if is_bound(name):
                yield value
            case _:
                pass


def is_scaled(expression: ast.expr, constants: dict[str, ast.expr]) -> bool:
    """Nothing in it is a number of seconds of one machine.

    A name that the file does not define was checked where it was, and 0 is 0 everywhere.
    """
    match expression:
        case ast.Constant(value=value):
            return value is None or value == 0 or not isinstance(value, int | float)
        case ast.Call():
            return called(expression) in {"scaled", "lease", "kept_lease"} or not any(
                isinstance(part, ast.Constant) and isinstance(part.value, int | float)
                for part in ast.walk(expression)
            )
        case ast.Name(id=name):
            return name not in constants or is_scaled(constants[name], constants)
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div(), right=right):
            return is_scaled(left, constants) or is_scaled(right, constants)
        case ast.BinOp(left=left, right=right):
            return is_scaled(left, constants) and is_scaled(right, constants)
        case ast.IfExp(body=body, orelse=other):
            return is_scaled(body, constants) and is_scaled(other, constants)
    return True


def is_short(expression: ast.expr) -> bool:
    """It is `scaled` from less than what is usual."""
    usual = round(bounds.USUAL_SECONDS / bounds.SLOWNESS, 3)  # whatever the factor's digits are
    for call in ast.walk(expression):
        match call:
            case ast.Call(args=[ast.Constant(value=int() | float() as seconds)]):
                if called(call) == "scaled" and seconds < usual:
                    return True
            case _:
                pass
    return False


def sleeps(source: str, path: Path = TESTS / "of_a_test.py") -> list[str]:
    """Where time passes by itself: `sleep(0)` lets others run, which is another thing."""
    tree = parsed(source)
    if virtual(tree, path):
        return []
    return [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and called(node) == "sleep"
        and ast.unparse(node.args[0]) != "0"
    ]


def deaf_waits(source: str) -> list[str]:
    """Waits that have a process at hand, whose log they would show, and do not end with it."""
    return [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.Call) and called(node) == "eventually"
        for keyword in node.keywords
        if keyword.arg == "show" and ".tail" in ast.unparse(keyword.value)
    ]


def short_bounds(source: str) -> list[str]:
    """The bounds that a slow machine may miss, with their lines; also those that have a name."""
    tree = parsed(source)
    named = [value for name, value in constants_of(tree).items() if "SECONDS" in name]
    summands = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)
        for part in (node.left, node.right)
    }
    return [
        f"{bound.lineno}: {ast.unparse(bound)}"
        for bound in {*bounds_of(tree), *named} - summands
        if not isinstance(bound, ast.BinOp) and is_short(bound)
    ]


def literal_bounds(source: str, path: Path = TESTS / "of_a_test.py") -> list[str]:
    """The bounds of one file that are of one machine, with their lines."""
    tree = parsed(source)
    found = bounds_of_tests(tree) if virtual(tree, path) else bounds_of(tree)
    constants = constants_of(tree)
    return [
        f"{bound.lineno}: {ast.unparse(bound)}"
        for bound in found
        if not is_scaled(bound, constants)
    ]


@cache
def parsed(source: str) -> ast.Module:
    """A file's tree, which all rules look at and none changes."""
    return ast.parse(source)


def found_in_files(rule: Callable[[str, Path], list[str]]) -> dict[str, list[str]]:
    """What a rule finds in each file, for those in which it finds something."""
    return {
        str(path.relative_to(TESTS)): found
        for path in FILES
        if (found := rule(path.read_text("utf-8"), path))
    }


def test_no_wait_has_a_bound_of_one_machine():
    found = found_in_files(literal_bounds)

    assert found == {}, "write scaled(…), or leave the usual bound: see tests/support/bounds.py"


def test_bounds_are_usual_ones_where_nothing_less_is_promised():
    short = {
        str(path.relative_to(TESTS))
        for path in FILES
        if not virtual(parsed(path.read_text("utf-8")), path)
        and short_bounds(path.read_text("utf-8"))
    }

    assert short == set(MAY_BE_SHORT), "leave the usual bound, or say here what is promised"


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("subprocess.run(words, timeout=scaled(60))", 1),
        ("END_SECONDS = scaled(20)", 1),
        ("END_SECONDS: Final = scaled(20)", 1),
        ("subprocess.run(words, timeout=USUAL_SECONDS + scaled(60))", 0),
        ("subprocess.run(words, timeout=scaled(900))", 0),
    ],
)
def test_a_bound_below_the_usual_one_is_found(source: str, count: int):
    assert len(short_bounds(source)) == count


def test_nobody_sleeps_until_something_may_be_so():
    found = found_in_files(sleeps)

    assert {*found} - MAY_SLEEP == set(), found


def test_nobody_waits_for_a_process_that_has_ended():
    found = {str(path): deaf for path in FILES if (deaf := deaf_waits(path.read_text("utf-8")))}

    assert found == {}, "write worker.until, or brought_about"


def test_a_wait_that_does_not_see_the_end_of_its_process_is_found():
    assert len(deaf_waits('eventually(equal, what="both are equal", show=worker.tail)')) == 1
    assert len(deaf_waits('eventually(equal, show=lambda: "".join(w.tail() for w in all))')) == 1
    assert deaf_waits('eventually(equal, what="both are equal")') == []


def test_a_sleep_is_found():
    assert sleeps("import asyncio\nasync def wait():\n    await asyncio.sleep(3)\n") == [
        "3: asyncio.sleep(3)"
    ]
    assert sleeps("time.sleep(seconds)") == ["1: time.sleep(seconds)"]
    assert sleeps("async def turn():\n    await asyncio.sleep(0)\n") == []


def impatient_draws(source: str) -> list[str]:
    """Health checks of Hypothesis that are chosen anew, and no more without the one of speed."""
    return [
        f"{keyword.value.lineno}: {ast.unparse(keyword.value)}"
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "suppress_health_check"
        and not re.search(r"too_slow|list\(HealthCheck\)", ast.unparse(keyword.value))
    ]


def test_examples_may_be_drawn_slowly():
    """Ten of them within half a minute are a measure of speed."""
    found = {str(path): found for path in FILES if (found := impatient_draws(path.read_text()))}

    assert found == {}, "suppress HealthCheck.too_slow beside the others"
    assert HealthCheck.too_slow in settings().suppress_health_check
    assert (
        len(impatient_draws("settings(suppress_health_check=[HealthCheck.filter_too_much])")) == 1
    )


@pytest.mark.parametrize(
    "source",
    [
        "async with asyncio.timeout(5): pass",
        "asyncio.wait_for(process.wait(), 20)",
        "process.wait(10)",
        "process.wait(timeout=10)",
        "done.wait(seconds + 60)",
        "subprocess.run(words, timeout=50)",
        "blocking.settimeout(0.3)",
        "pytest.mark.timeout(180)",
        "pytest.mark.timeout(60 * MINUTES)",
        "AioConfig(connect_timeout=5)",
        "aiohttp.ClientTimeout(total=5)",
        "deadline = time.monotonic() + 45",
        "def run(*words, seconds: float = 50.0): pass",
        "async def equal(worker, *, seconds=30): pass",
        "SECONDS_MAX = 120.0\nprocess.communicate(timeout=SECONDS_MAX)",
        "A = 1.0\nB = A\nprocess.wait(B)",
        "A: Final = 1.0\nprocess.wait(A)",
        "async def test():\n    await worker.stop(seconds=10)",
        "configuration(lease_seconds=2.0)",
        "ConnectionSettings(lock_timeout_seconds=3.0)",
        "settings['coordination']['lease_seconds'] = 5.0",
        "settings = {'target': {'statement_timeout_seconds': 5}}",
        "process.wait(scaled(3) + 3)",
        "function.handle(event, seconds_left=30)",
    ],
)
def test_a_bound_of_one_machine_is_found(source: str):
    if "MINUTES" in source:
        source = f"MINUTES = 5\n{source}"

    assert len(literal_bounds(source)) == 1


def test_a_test_in_virtual_time_ends_by_the_real_clock():
    source = (
        "from tests.support.virtual_time import until\n@pytest.mark.timeout(240)\ndef test(): 0"
    )

    assert literal_bounds(source) == ["2: 240"]


@pytest.mark.parametrize(
    "source",
    [
        "async with asyncio.timeout(scaled(5)): pass",
        "process.wait(0)",
        "LEASE = scaled(60)\nasync def test():\n    await it.more(seconds=LEASE / 2)",
        "async def test():\n    await it.equal(seconds=scaled(30 + changes / 100))",
        "deadline = time.monotonic() + USUAL_SECONDS",
        "timedelta(seconds=25)",
        "async def test():\n    await process.wait()",
        "from tests.support.virtual_time import until\nasync with asyncio.timeout(5): pass",
    ],
)
def test_what_is_scaled_or_waits_for_nobody_passes(source: str):
    assert literal_bounds(source) == []


def test_the_slowness_is_given_or_measured_and_never_below_one():
    assert bounds.settled("2.5") == 2.5
    assert bounds.settled("20") == 20.0
    assert bounds.settled(None, lambda: 3.14159) == 3.14
    assert bounds.settled(None, lambda: 0.4) == 1.0
    assert bounds.settled("", lambda: 1000.0) == bounds.SLOWNESS_MAX


def test_a_session_measures_once_and_hands_the_result_on():
    assert float(os.environ[bounds.VARIABLE]) == bounds.SLOWNESS
    assert bounds.scaled(10) == 10 * bounds.SLOWNESS


def test_the_measurement_compiles_nothing_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(warm_start, "BYTECODE", tmp_path)
    monkeypatch.setattr(bounds, "IMPORT", "import replicator.errors")
    unit = f"""import pathlib
assert list(pathlib.Path({str(tmp_path)!r}).rglob('errors.*.pyc'))"""
    monkeypatch.setattr(bounds, "UNIT", unit)

    assert bounds.measured() > 0


def test_a_machine_that_is_slower_than_it_was_is_measured_before_a_wait_fails(
    monkeypatch: pytest.MonkeyPatch,
):
    slower = bounds.slower_by(lambda: bounds.SLOWNESS / 2)
    much_slower = bounds.slower_by(lambda: 1000.0)
    assert (slower, much_slower) == (1.0, bounds.SLOWNESS_MAX / bounds.SLOWNESS)

    patience = Patience(1e-6)
    monkeypatch.setattr(bounds, "slower_by", lambda: 1e9)
    assert not patience.ends()
    assert patience.left > 0

    patience = Patience(1e-6)
    monkeypatch.setattr(bounds, "slower_by", lambda: 1.0)
    assert patience.ends()


def test_generated_work_shrinks_as_bounds_grow():
    assert bounds.amount(2_000, least=100) == max(100, round(2_000 / bounds.SLOWNESS))
    assert bounds.amount(3, least=3) == 3
