"""The story of the demonstration: start, write, watch, wait, compare, tell, put away."""

import asyncio
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import asyncpg
from rich.console import Console
from rich.status import Status

from replicator.aws.client_factory import open_client
from replicator.aws.error_translation import FAILURES, translate
from replicator.aws.source_connection import SourceConnection
from replicator.clock import Clock, SystemClock
from replicator.demo.comparison import compare, read_items, read_rows
from replicator.demo.daemon_process import (
    ANSWER_SECONDS,
    CONFIGURATION,
    DaemonProgress,
    Place,
    PortTaken,
    Replica,
    start_daemon,
    usual_port,
)
from replicator.demo.embedded_servers import embedded_dynamodb, embedded_postgres, free_port
from replicator.demo.order_writer import Writer
from replicator.demo.report import draw_order, richest, say, say_verdict, say_what_is_next
from replicator.demo.sample_orders import KEY, Delete, Put, Update, table_definition
from replicator.demo.terminal_view import BothSides, View, view_for
from replicator.engine.task_groups import one_failure
from replicator.errors import ReplicatorError, SinkUnavailable

READY_SECONDS = 300.0
"""Catches a hang, also on a machine ten times slower than a usual one."""
STOCK_CHANGES = 30
"""Made before the daemon starts: the snapshot loads them."""
APPLY_SECONDS = 120.0
LOOK_SECONDS = 0.4


class DaemonNotReady(ReplicatorError):
    """The daemon runs, but has not read the stream in time."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Progress of the writing."""

    last: BothSides
    in_time: bool
    """True when everything was applied before the deadline."""


def demonstrate(
    console: Console, environment: Mapping[str, str], *, seconds: float, rate: float
) -> bool:
    """Tell the whole story; whether both sides were equal in the end.

    `environment` is the daemon's. Whatever happens, no process and no file is left, but for the
    daemon's log after a failure. ReplicatorError for a part that is missing or did not work.
    """
    with ExitStack() as stack:
        busy = console.status("")
        stack.callback(busy.stop)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="replicator-")))
        try:
            equal = _demonstrate(console, busy, directory, environment, seconds=seconds, rate=rate)
        except ReplicatorError:
            _keep_log(directory, console)
            raise
        if not equal:
            _keep_log(directory, console)
    return equal


def _demonstrate(
    console: Console,
    busy: Status,
    directory: Path,
    environment: Mapping[str, str],
    *,
    seconds: float,
    rate: float,
) -> bool:
    with ExitStack() as servers:
        busy.update("starting PostgreSQL and an emulator of DynamoDB")
        busy.start()
        postgres, dynamodb = _start(servers)
        place = Place(directory, dynamodb, postgres, usual_port())
        story = _Story(console, busy, place, environment, SystemClock())
        return asyncio.run(story.tell(seconds=seconds, rate=rate))


def _start(servers: ExitStack) -> tuple[str, str]:
    """Both servers at once: where PostgreSQL and DynamoDB are.

    Interrupted, it waits until both have started, or `servers` would not know of them to end them:
    so the results are waited for inside the block, whose end waits again.
    """
    with ThreadPoolExecutor(2) as starting:
        postgres = starting.submit(servers.enter_context, embedded_postgres())
        dynamodb = starting.submit(servers.enter_context, embedded_dynamodb())
        return postgres.result().dsn, dynamodb.result()


class _Story:
    def __init__(
        self,
        console: Console,
        busy: Status,
        place: Place,
        environment: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self._console = console
        self._busy = busy
        self._place = place
        self._environment = environment
        self._clock = clock

    async def tell(self, *, seconds: float, rate: float) -> bool:
        """From a table that holds some orders to the verdict."""
        async with AsyncExitStack() as stack:
            self._busy.update("starting replicator")
            at = SourceConnection("us-east-1", self._place.dynamodb)
            dynamodb = await stack.enter_async_context(open_client("dynamodb", at))
            try:
                await dynamodb.create_table(**table_definition())
            except FAILURES as error:
                raise translate(error) from error
            writer = Writer(dynamodb, self._clock, rate=rate)
            await writer.stock(STOCK_CHANGES)
            try:
                replica = await self._start_replica(stack)
            except PortTaken:
                self._place = replace(self._place, port=free_port())
                replica = await self._start_replica(stack)
            stack.callback(self._say_that_it_ends)  # pushed last: called before anything closes
            self._busy.stop()
            view = view_for(self._console, self._place)
            with view.opened():
                watched = await self._watch(writer, replica, view, seconds)
            self._say_what_was_written(writer, watched)
            items, rows = await read_items(dynamodb), await read_rows(replica.connection)
            found = compare(items, rows)
            say_verdict(self._console, found)
            if found.equal and items:
                shown = richest(items)
                self._console.print()
                key = shown[KEY]["S"]
                draw_order(self._console, shown, next(row for row in rows if row[KEY] == key))
                self._console.print()
                say_what_is_next(self._console, CONFIGURATION)
            return found.equal and watched.in_time

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
                message = f"the daemon has not read the stream within {READY_SECONDS:.0f} s"
                raise DaemonNotReady(message, remedy="its log says why")
            await asyncio.sleep(LOOK_SECONDS / 4)
        return replica

    async def _watch(self, writer: Writer, replica: Replica, view: View, seconds: float) -> Watched:
        """Write for so long, then wait until everything has arrived."""
        started = self._clock.monotonic()
        progress = DaemonProgress(finished=0, reading=True)
        stopping = asyncio.Event()
        async with one_failure() as tasks:
            writing = tasks.create_task(writer.write(stopping), name="writer")
            while True:
                elapsed = self._clock.monotonic() - started
                if elapsed >= seconds:
                    stopping.set()
                ended = writing.done()  # before counting, or the last one would not be counted
                progress = await replica.progress() or progress
                reading = BothSides(
                    elapsed_seconds=elapsed,
                    write_seconds=seconds,
                    written=writer.written.total(),
                    applied=progress.finished,
                    items=writer.items,
                    rows=await replica.rows(),
                    lag_seconds=writer.lag_seconds(progress.finished),
                    latest=tuple(await replica.latest(view.latest)) if view.latest else (),
                )
                view.show(reading)
                if ended and progress.finished >= reading.written:
                    return Watched(reading, in_time=True)
                if elapsed > seconds + APPLY_SECONDS:
                    return Watched(reading, in_time=False)
                await asyncio.sleep(LOOK_SECONDS / 4 if stopping.is_set() else LOOK_SECONDS)

    def _say_what_was_written(self, writer: Writer, watched: Watched) -> None:
        put, updated, deleted = (writer.written[kind] for kind in (Put, Update, Delete))
        last = watched.last
        say(
            self._console,
            f"{last.written} changes in {last.write_seconds:.0f} s: "
            f"{put} orders placed, {updated} updated, {deleted} deleted.",
        )
        if not watched.in_time:
            late = f"Only {last.applied} of them were applied {APPLY_SECONDS:.0f} s later."
            say(self._console, late, "bold red")

    def _say_that_it_ends(self) -> None:
        self._busy.update("putting everything away")
        self._busy.start()


def _keep_log(directory: Path, console: Console) -> None:
    """Save the daemon's log, if it came to one, from a directory that is about to go."""
    log = directory / "replicator.log"
    if log.exists():
        with tempfile.NamedTemporaryFile(
            prefix="replicator-demo-", suffix=".log", delete=False
        ) as kept:
            kept.write(log.read_bytes())
        say(console, f"The daemon's log: {kept.name}")
