"""The story of the demonstration: start, write, watch, wait, compare, tell, clear away."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
from rich.console import Console
from rich.text import Text

from replicator.clock import Clock, SystemClock
from replicator.demo.comparison import Comparison, Item, Row, compare, read_items, read_rows
from replicator.demo.embedded import embedded_dynamodb, embedded_postgres
from replicator.demo.orders import KEY, Delete, Put, Update, table_definition
from replicator.demo.replica import (
    ANSWER_SECONDS,
    Place,
    Progress,
    Replica,
    start_daemon,
    usual_port,
)
from replicator.demo.report import print_order, print_verdict, richest
from replicator.demo.view import Reading, View, view_for
from replicator.demo.writer import Writer
from replicator.engine.waiting import one_failure
from replicator.errors import ReplicatorError, SinkUnavailable
from replicator.sources.clients import SourceConnection, open_client
from replicator.sources.failures import FAILURES, translate

READY_SECONDS = 30.0
APPLY_SECONDS = 30.0
LOOK_SECONDS = 0.4


class DaemonNotReady(ReplicatorError):
    """The daemon runs, but has not read the stream in time."""


@dataclass(frozen=True, slots=True)
class Told:
    """How the writing went. `waited_seconds` None: not all was applied before the deadline."""

    waited_seconds: float | None
    last: Reading


def demonstrate(
    console: Console, environment: Mapping[str, str], *, seconds: float, rate: float
) -> bool:
    """Tell the whole story; whether both sides were equal in the end.

    `environment` is the daemon's. Whatever happens, no process and no file is left, but for the
    daemon's log after a failure. ReplicatorError for a part that is missing or did not work.
    """
    with _directory() as directory:
        try:
            with ExitStack() as servers:
                with console.status("starting PostgreSQL and an emulator of DynamoDB"):
                    postgres, dynamodb = _start(servers)
                place = Place(directory, dynamodb, postgres, usual_port())
                story = _Story(console, place, environment, SystemClock())
                equal = asyncio.run(story.tell(seconds=seconds, rate=rate))
        except ReplicatorError:
            _keep_log(directory, console)
            raise
        if not equal:
            _keep_log(directory, console)
    return equal


class _Story:
    def __init__(
        self, console: Console, place: Place, environment: Mapping[str, str], clock: Clock
    ) -> None:
        self._console = console
        self._place = place
        self._environment = environment
        self._clock = clock

    async def tell(self, *, seconds: float, rate: float) -> bool:
        async with AsyncExitStack() as stack:
            connection = SourceConnection("us-east-1", self._place.dynamodb)
            dynamodb = await stack.enter_async_context(open_client("dynamodb", connection))
            try:
                await dynamodb.create_table(**table_definition())
            except FAILURES as error:
                raise translate(error) from error
            with self._console.status("starting replicator"):
                replica = await self._start_replica(stack)
            writer = Writer(dynamodb, self._clock, rate=rate)
            view = view_for(self._console, self._place)
            with view.opened():
                told = await self._watch(writer, replica, view, seconds)
            items, rows = await read_items(dynamodb), await read_rows(replica.connection)
            found = compare(items, rows)
            self._report(writer, told, found, items, rows)
            return found.equal and told.waited_seconds is not None

    async def _start_replica(self, stack: AsyncExitStack) -> Replica:
        daemon = start_daemon(self._place, self._environment)
        stack.callback(daemon.close)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=ANSWER_SECONDS))
        try:
            connection = await asyncpg.connect(self._place.postgres)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise SinkUnavailable(f"PostgreSQL cannot be reached: {error}") from error
        stack.push_async_callback(connection.close)
        replica = Replica(self._place, daemon, session, connection)
        deadline = self._clock.monotonic() + READY_SECONDS
        while not await replica.is_ready():
            if self._clock.monotonic() > deadline:
                message = f"the daemon did not read the stream within {READY_SECONDS:.0f} s"
                raise DaemonNotReady(message, remedy="its log says why")
            await asyncio.sleep(LOOK_SECONDS / 4)
        return replica

    async def _watch(self, writer: Writer, replica: Replica, view: View, seconds: float) -> Told:
        """Write for so long, then wait until everything has arrived."""
        started = self._clock.monotonic()
        progress = Progress(0, None)
        stopping = asyncio.Event()
        async with one_failure() as tasks:
            writing = tasks.create_task(writer.write(stopping), name="writer")
            while True:
                # what was written is asked first: applied is then never behind for that reason
                written, items = writer.written.total(), writer.items
                ended = writing.done()
                progress = await replica.progress() or progress
                reading = Reading(
                    elapsed_seconds=self._clock.monotonic() - started,
                    write_seconds=seconds,
                    written=written,
                    applied=progress.finished,
                    items=items,
                    rows=await replica.rows(),
                    lag_seconds=progress.lag_seconds,
                    latest=tuple(await replica.latest(view.latest)) if view.latest else (),
                )
                view.show(reading)
                waited = reading.elapsed_seconds - seconds
                if ended and progress.finished >= written:
                    return Told(waited, reading)
                if waited > APPLY_SECONDS:
                    stopping.set()
                    return Told(None, reading)
                await asyncio.sleep(LOOK_SECONDS if waited < 0 else LOOK_SECONDS / 4)
                if self._clock.monotonic() - started >= seconds:
                    stopping.set()

    def _report(
        self, writer: Writer, told: Told, found: Comparison, items: list[Item], rows: list[Row]
    ) -> None:
        put, updated, deleted = (writer.written[kind] for kind in (Put, Update, Delete))
        line = (
            f"{writer.written.total()} changes written in {told.last.write_seconds:.0f} s: "
            f"{put} orders placed, {updated} updated, {deleted} deleted."
        )
        self._console.print(Text(line), soft_wrap=True)
        if told.waited_seconds is None:
            late = f"After {APPLY_SECONDS:.0f} s more only {told.last.applied} were applied."
            self._console.print(Text(late, "bold red"), soft_wrap=True)
        print_verdict(self._console, found)
        if not found.equal:
            return
        self._console.print()
        if items:
            item = richest(items)
            print_order(
                self._console, item, next(row for row in rows if row[KEY] == item[KEY]["S"])
            )


def _start(stack: ExitStack) -> tuple[str, str]:
    """Both servers at once: where PostgreSQL and DynamoDB are."""
    with ThreadPoolExecutor(2) as starting:
        postgres = starting.submit(stack.enter_context, embedded_postgres())
        dynamodb = starting.submit(stack.enter_context, embedded_dynamodb())
    return postgres.result().dsn, dynamodb.result()


@contextmanager
def _directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="replicator-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _keep_log(directory: Path, console: Console) -> None:
    """Save the daemon's log, if it came to one, from a directory that is about to go."""
    log = directory / "replicator.log"
    if log.exists():
        kept = Path(tempfile.mkdtemp(prefix="replicator-log-")) / log.name
        shutil.copy(log, kept)
        console.print(f"The daemon's log: {kept}", soft_wrap=True)
