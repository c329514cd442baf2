"""Fixtures: real servers for the session, a fresh database and table name for each test."""

import asyncio
import gc
import os
import resource
import secrets
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

from replicator.demo import embedded_servers as embedded
from replicator.demo.daemon_process import leads_elsewhere
from replicator.demo.embedded_servers import EmbeddedPostgres
from tests.support import bounds, distribution, endpoints
from tests.support.dynamodb_local import DynamoDBLocalMissing
from tests.support.kinesis_local import KinesisLocalMissing, kinesis_local
from tests.support.ministack import MinistackMissing, missing_ministack
from tests.support.missing_part import skip_without
from tests.support.ports import kept_port
from tests.support.postgres import fresh_database, migrated_database_to_copy
from tests.support.postgres_versions import asked_for, postgres_of
from tests.support.warm_start import BYTECODE, keeps_bytecode
from tests.support.wide import examples

FILES_LEAST = 4096

# for the workers of xdist, whatever tests start, and what this process has yet to import
os.environ.update(keeps_bytecode())
sys.pycache_prefix, sys.dont_write_bytecode = str(BYTECODE), False

# all servers of the tests are on this machine; what they download may still need the shell's proxy
for name in ("NO_PROXY", "no_proxy"):
    os.environ[name] = ",".join(
        dict.fromkeys(
            [*filter(None, os.environ.get(name, "").split(",")), "127.0.0.1", "localhost"]
        )
    )

settings.register_profile(
    "any machine",
    # a busy one is no failure, neither in a test nor while examples are drawn
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=examples(100),
)
# a change is judged by itself, by the same examples every time; runs by hand look for new ones
settings.register_profile("CI", settings.get_profile("any machine"), derandomize=True)
settings.load_profile("CI" if os.environ.get("CI") == "true" else "any machine")

# a shell starts what is to run in the background with this signal ignored, and processes inherit it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# some systems allow 256 open files to whoever asks for no more: a hundred connections within one
# process are as many pairs of sockets
allowed, at_most = resource.getrlimit(resource.RLIMIT_NOFILE)
if 0 <= allowed < FILES_LEAST:
    more = min(FILES_LEAST, at_most) if at_most >= 0 else FILES_LEAST
    resource.setrlimit(resource.RLIMIT_NOFILE, (more, at_most))

# servers of other tests look for ports meanwhile
embedded.free_port = kept_port

GROUPS = pytest.StashKey[Path]()
WORKERS_OF_A_CORE = 4
WORKERS_MAX = 8
"""Each has servers of its own, and more than a few at once help nobody."""
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_CA_BUNDLE": str(Path(__file__).parent / "support/one_authority.pem"),
}
"""None of whoever runs the tests; no test meets a TLS server of AWS, and each client would read all
authorities of the world."""

# nothing that the shell says about AWS, PostgreSQL or replicator reaches a test or its servers
for name in list(os.environ):
    if leads_elsewhere(name) and not name.startswith("REPLICATOR_TEST_"):
        del os.environ[name]
os.environ.update(CREDENTIALS)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected lives as long as the process: nobody looks through it again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Mark what needs a server by the fixtures it asks for and what Hypothesis generates, and bound
    every test; in a worker of xdist put what is left in order, pytest having brought together what
    shares a parameter.
    """
    servers = {"postgres_server": "postgres", "dynamodb_endpoint": "dynamodb"}
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in servers:
                item.add_marker(servers[fixture])
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("generated")
        if config.getoption("timeout") is None and item.get_closest_marker("timeout") is None:
            is_long = item.get_closest_marker("long") is not None
            seconds = bounds.LONG_TEST_SECONDS if is_long else bounds.TEST_SECONDS
            item.add_marker(pytest.mark.timeout(seconds))
        is_wide = distribution.is_on_another_emulator(item)
        if is_wide and item.get_closest_marker("both_emulators") is None:
            item.add_marker("wide")
    yield
    if told := getattr(config, "workerinput", None):
        items[:] = distribution.in_order(items)
        if told["workerid"] == "gw0":
            distribution.write_groups(Path(told["groups"]), items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Say once, in one line, what `make test` would have fetched; a worker of xdist cannot."""
    if hasattr(session.config, "workerinput") or session.config.getoption("collectonly"):
        return
    of_it = {"ministack", *(() if endpoints.GIVEN else ("lease_endpoint", "dynamodb_endpoint"))}
    is_needed = any(of_it & {*getattr(item, "fixturenames", ())} for item in session.items)
    if is_needed and (missing := missing_ministack()):
        raise pytest.UsageError(missing)


def pytest_report_header() -> str:
    """The measure of all bounds, before anything fails."""
    return bounds.machine()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows how slow the machine is: a bound may be what failed."""
    report = yield
    if report.failed:
        report.sections.append(("machine", bounds.machine()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The measure of all bounds, which `--quiet` leaves out at the beginning, and what was skipped,
    one line for each reason: mostly a tool that is not there.
    """
    terminalreporter.write_line(bounds.machine())
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
    )
    for reason, count in reasons.most_common():
        tests = "1 test was" if count == 1 else f"{count} tests were"
        terminalreporter.write_line(f"{tests} skipped: {reason}")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist where the groups of tests are to be written down."""
    node.workerinput["groups"] = str(_groups(node.config))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Any
) -> distribution.UnitScheduling | None:
    """Whole units for `--dist loadgroup`; None: what xdist has for the others."""
    is_ours = config.getoption("dist") == "loadgroup"
    return distribution.UnitScheduling(config, log, _groups(config)) if is_ours else None


def _groups(config: pytest.Config) -> Path:
    """A file of this run."""
    if GROUPS not in config.stash:
        place = TemporaryDirectory(prefix="replicator-groups-")
        config.add_cleanup(place.cleanup)
        config.stash[GROUPS] = Path(place.name) / "groups.json"
    return config.stash[GROUPS]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """A test with processes waits for three quarters of its time: for a lease, for empty pages."""
    return min(WORKERS_OF_A_CORE * bounds.cores(), WORKERS_MAX)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The DSN of a server whose role may create databases: shared, so nobody stops it."""
    given = os.environ.get("REPLICATOR_TEST_POSTGRES_DSN")
    if given:
        yield given
        return
    with postgres_of(asked_for()) as server:
        yield server.dsn


@pytest.fixture
async def empty_database(postgres_server: str) -> AsyncIterator[str]:
    """The DSN of an empty database of one's own."""
    async with fresh_database(postgres_server, template="template0") as dsn:
        yield dsn


@pytest.fixture
def database(empty_database: str) -> str:
    """The database that all fixtures of a test share; some directories have another one."""
    return empty_database


@pytest.fixture(scope="session")
def migrated_template(postgres_server: str) -> Iterator[str]:
    """The name of a database with a control schema and nothing in it, to be copied."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        made = migrated_database_to_copy(postgres_server)
        yield runner.run(stack.enter_async_context(made))
        runner.run(stack.aclose())


@pytest.fixture
async def migrated_database(postgres_server: str, migrated_template: str) -> AsyncIterator[str]:
    """As `database`, and `migrate` finds the control schema up to date: not for tests of that."""
    async with fresh_database(postgres_server, template=migrated_template) as dsn:
        yield dsn


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server of one's own, to stop and start."""
    with postgres_of(asked_for()) as server:
        yield server


@pytest.fixture(scope="session")
def ministack() -> Iterator[str]:
    """The URL of an emulator of DynamoDB, streams and more of AWS; names are each test's own."""
    try:
        with endpoints.endpoint("ministack") as url:
            yield url
    except MinistackMissing as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session", params=endpoints.NAMES)
def dynamodb_endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a DynamoDB API with streams: each test that asks runs once against every one."""
    if request.param == "ministack":
        yield request.getfixturevalue("ministack")
        return
    try:
        with endpoints.endpoint(request.param) as url:
            yield url
    except DynamoDBLocalMissing as missing:
        skip_without(missing)


@pytest.fixture(scope="session")
def lease_endpoint() -> Iterator[str]:
    """Where leases live beside scripted streams. What those do not know is asked there, so it has
    no tables of other tests.
    """
    try:
        with endpoints.endpoint(endpoints.NAMES[0]) as url:
            yield url
    except MinistackMissing as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session")
def kinesis_url() -> Iterator[str]:
    """The URL of a Kinesis; its streams are each test's own."""
    try:
        with kinesis_local() as url:
            yield url
    except KinesisLocalMissing as missing:
        skip_without(missing)


@pytest.fixture
def table_name() -> str:
    """A DynamoDB table name that no other test uses."""
    return f"table-{secrets.token_hex(6)}"
