"""The parts that everything is measured on: PostgreSQL in memory, the scripted source, leases."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from replicator.demo import embedded_servers as embedded
from replicator.demo.embedded_servers import EmbeddedPostgres, embedded_dynamodb, embedded_postgres
from tests.benchmarks.load import Load, last_number
from tests.benchmarks.rows import KEY
from tests.support.in_memory import new_files_in, place_in_memory
from tests.support.scripted_streams import RemoteStreams, start_process

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_DEFAULT_REGION": "us-east-1",
}
SETTINGS = {
    "shared_buffers": "1GB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "track_commit_timestamp": "on",
}
"""Beside those of the embedded server, whose `synchronous_commit` stays on."""
DURABLE = {"fsync": "on", "full_page_writes": "on", "wal_level": "replica"}
"""In place of the embedded server's own, which has nothing to lose."""


@dataclass(frozen=True, slots=True)
class Served:
    """A scripted table whose pages are loaded; `lasts` are its shards' last sequence numbers."""

    name: str
    lasts: dict[str, int]
    records: int

    @property
    def sum(self) -> int:
        return sum(self.lasts.values())


@dataclass(slots=True)
class Machine:
    """Where the servers are."""

    postgres: EmbeddedPostgres
    source: RemoteStreams
    emulator: str
    """URL of what answers whatever is not scripted."""
    directory: Path
    in_memory: bool
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def postmaster(self) -> int:
        """The process whose children are PostgreSQL's sessions."""
        return int((self.postgres.directory / "data/postmaster.pid").read_text().split()[0])

    @property
    def psql(self) -> Path:
        """The program that came with the server, else the PATH's."""
        beside = self.postgres.binaries / "psql"
        return beside if beside.exists() else Path(shutil.which("psql") or "psql")

    def dsn(self, database: str) -> str:
        return urlunsplit(urlsplit(self.postgres.dsn)._replace(path=f"/{database}"))

    def new_name(self, kind: str) -> str:
        """A name that nothing else has."""
        return f"{kind}_{next(self._numbers)}"

    def serve(self, load: Load, *, shards: int = 1, name: str | None = None) -> Served:
        """A new scripted table with a load's pages in its shards."""
        return self.serve_pages(load.pages(shards=shards), len(load.changes), name=name)

    def serve_pages(
        self, pages: list[list[bytes]], records: int, *, name: str | None = None
    ) -> Served:
        """The same with these pages of each shard."""
        name = name or self.new_name("orders")
        table = self.source.table(name, key=KEY, shards=len(pages))
        for shard, its in enumerate(pages):
            table.load_pages(shard, its)
        lasts = {table.shard_id(shard): last_number(its) for shard, its in enumerate(pages) if its}
        return Served(name, lasts, records)

    @asynccontextmanager
    async def database(self, template: str, *, table: str | None = None) -> AsyncIterator[str]:
        """The DSN of a copy of a database, gone at the end; `table` is the source it is for."""
        name = self.new_name("run")
        await self.execute(
            f"create database {name} template {template} strategy file_copy", self.postgres.dsn
        )
        if table is not None:  # the template was made for another table of the same kind
            rename = f"update replicator.table_state set source_table = '{table}'"
            await self.execute(rename, self.dsn(name))
        try:
            yield self.dsn(name)
        finally:
            await self.execute(f"drop database {name} with (force)", self.postgres.dsn)

    async def execute(self, statements: str, dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(statements)
        finally:
            await connection.close()


@asynccontextmanager
async def started() -> AsyncIterator[Machine]:
    """All parts, gone at the end; their files lie in memory where the system has such a place."""
    place = place_in_memory()
    os.environ |= CREDENTIALS
    with new_files_in(place), embedded_postgres() as postgres:
        await _configure(postgres)
        with (
            embedded_dynamodb() as emulator,
            start_process(forward=emulator) as source,
            tempfile.TemporaryDirectory(prefix="bench-") as directory,
        ):
            yield Machine(postgres, source, emulator, Path(directory), place is not None)


@asynccontextmanager
async def with_durable_postgres(machine: Machine) -> AsyncIterator[Machine]:
    """The machine with another PostgreSQL: data on disk, and each COMMIT waits for the disk."""
    with new_files_in(None), embedded_postgres(settings=embedded.SETTINGS | DURABLE) as postgres:
        await _configure(postgres)
        directory = machine.directory / machine.new_name("durable")
        directory.mkdir()
        yield replace(machine, postgres=postgres, directory=directory, in_memory=False)


async def _configure(postgres: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(postgres.dsn)
    for name, value in SETTINGS.items():
        await connection.execute(f"alter system set {name} = '{value}'")
    await connection.close()
    postgres.stop()
    postgres.start()
