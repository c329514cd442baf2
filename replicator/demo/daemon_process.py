"""The daemon of the demonstration: a process of its own, and what the pages and rows say."""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from prometheus_client.parser import text_string_to_metric_families

import replicator
from replicator.demo.child_process import Leashed
from replicator.demo.embedded_servers import free_port
from replicator.demo.sample_orders import TABLE
from replicator.errors import ReplicatorError, SinkUnavailable

CONFIGURATION = Path(__file__).with_name("replicator.yaml")
USUAL_PORT = 8080
ANSWER_SECONDS = aiohttp.ClientTimeout(total=5)
LAST_LINES = 5
COUNT = f"select count(*) from public.{TABLE}"  # noqa: S608 (a constant)
LATEST = f"""
select order_id, customer, status, total, tags
  from public.{TABLE}
 order by changed_at desc, order_id
 limit $1
"""  # noqa: S608 (a constant)


class DaemonEnded(ReplicatorError):
    """The daemon ended unasked."""


class PortTaken(DaemonEnded):
    """The HTTP port was taken by another process first."""


@dataclass(frozen=True, slots=True)
class Place:
    """Places of the parts of one demonstration."""

    directory: Path
    dynamodb: str
    postgres: str
    port: int

    @property
    def deployment(self) -> str:
        """A name that no other demonstration has."""
        return f"demo-{self.directory.name.rpartition('-')[2]}"

    @property
    def configuration(self) -> Path:
        """The daemon's configuration."""
        return self.directory / "replicator.yaml"

    @property
    def log(self) -> Path:
        """File with the daemon's output."""
        return self.directory / "replicator.log"

    @property
    def pages(self) -> str:
        """Address of the status page."""
        return f"http://127.0.0.1:{self.port}/"


@dataclass(frozen=True, slots=True)
class DaemonProgress:
    """Progress as the daemon's pages report it."""

    finished: int
    """Changes that have the outcome."""
    reading: bool
    """True when the daemon has read the stream at least once."""


def start_daemon(place: Place, environment: Mapping[str, str]) -> Leashed:
    """`replicator run --migrate` with a configuration for the servers; the caller closes it."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    for name, value in (
        ("@DEPLOYMENT@", place.deployment),
        ("@DYNAMODB@", place.dynamodb),
        ("@POSTGRES@", place.postgres),
        ("@PORT@", str(place.port)),
    ):
        text = text.replace(name, value)
    place.configuration.write_text(text, encoding="utf-8")
    return Leashed(
        [sys.executable, "-m", "replicator", "run", "--migrate", "--config", place.configuration],
        log=place.log,
        # it starts elsewhere, and a checkout need not be installed
        environment={**environment, "PYTHONPATH": str(Path(replicator.__path__[0]).parent)},
        remove=place.directory,
    )


def usual_port() -> int:
    """8080 if it is free, so that the address is a familiar one, else any that is."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", USUAL_PORT))
        except OSError:
            return free_port()
    return USUAL_PORT


def leads_elsewhere(name: str) -> bool:
    """Whether a variable of the environment may lead to another database, or to AWS."""
    return name.startswith(("AWS_", "PG", "REPLICATOR_")) and name != "REPLICATOR_MINISTACK"


def isolated(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without anything that would lead to another database, or to AWS."""
    kept = {name: value for name, value in environment.items() if not leads_elsewhere(name)}
    return kept | {
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


class Replica:
    """Reads the pages of the daemon and the target from outside, as a person would."""

    def __init__(
        self,
        place: Place,
        daemon: Leashed,
        session: aiohttp.ClientSession,
        connection: "asyncpg.Connection[asyncpg.Record]",
    ) -> None:
        self._place = place
        self._daemon = daemon
        self._session = session
        self.connection = connection

    async def is_ready(self) -> bool:
        """True when the daemon has begun to read the stream; DaemonEnded."""
        progress = await self.progress()
        return progress is not None and progress.reading

    async def progress(self) -> DaemonProgress | None:
        """Progress from the daemon's pages, None while they do not answer; DaemonEnded,
        PortTaken.
        """
        if self._daemon.ended_within(0):
            said = self._place.log.read_text(errors="replace")
            ended = PortTaken if "the port is in use" in said else DaemonEnded
            last = said.splitlines()[-LAST_LINES:]
            raise ended("\n".join(["the daemon ended; it said last:", *last]))
        status = await self._get("status.json")
        metrics = await self._get("metrics")
        if status is None or metrics is None or status["deployment"] != self._place.deployment:
            return None  # another's, when somebody took the port before our daemon could
        reading = any(table["lag_seconds"] is not None for table in status["tables"])
        return DaemonProgress(_finished(metrics), reading)

    async def rows(self) -> int:
        """Number of rows in the target; SinkUnavailable."""
        try:
            return int(await self.connection.fetchval(COUNT))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise SinkUnavailable(f"the rows cannot be counted: {error}") from error

    async def latest(self, count: int) -> list[Mapping[str, Any]]:
        """The rows that changed last; SinkUnavailable."""
        try:
            return [dict(row) for row in await self.connection.fetch(LATEST, count)]
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise SinkUnavailable(f"the rows cannot be read: {error}") from error

    async def _get(self, page: str) -> Any:  # noqa: ANN401 (JSON is anything)
        """JSON, or the text of what is none; None when there is no good answer."""
        try:
            async with self._session.get(self._place.pages + page) as answer:
                if answer.status != 200:
                    return None
                return await (answer.json() if page.endswith(".json") else answer.text())
        except (aiohttp.ClientError, TimeoutError):
            return None


def _finished(metrics: str) -> int:
    """Changes with an outcome; neither a repeated delivery nor a snapshot's item is a change."""
    return sum(
        int(sample.value)
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "replicator_records_total"
        and sample.labels["outcome"] != "duplicate"
        and sample.labels["event"] != "snapshot"
    )
