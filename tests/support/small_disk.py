"""A PostgreSQL server with a tablespace that is soon full: a file system that only it can see."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from replicator.demo.child_process import Leashed
from replicator.demo.embedded_servers import NOBODY, SETTINGS, EmbeddedPostgres

SPACE_BYTES = 4 * 2**20
MOUNT = f'mount -t tmpfs -o size={SPACE_BYTES},uid={NOBODY},mode=700 none "$0"'
SERVE = f'{MOUNT} && exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups "$@"'
"""The server is the same process: it gets the signals, and its end is the end of the mount."""


def why_not() -> str | None:
    """Why nothing can be mounted here; None where it can."""
    with TemporaryDirectory() as directory:
        try:
            tried = subprocess.run(
                [*_unshared(MOUNT), directory], capture_output=True, text=True, check=False
            )
        except FileNotFoundError as missing:
            return str(missing)
    return None if tried.returncode == 0 else tried.stderr.strip()


def _unshared(script: str) -> list[str]:
    """A shell in a mount namespace of its own."""
    return ["unshare", "--mount", "sh", "-c", script]


class SmallDisk:
    """The tablespace `small` of a running server; `fill` leaves no page free, `free` the most."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def fill(self) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute("create table filler (b text) tablespace small")
            for rows in (64, 1):  # a statement that fails gives back what it took
                while await self._took(connection, rows):
                    pass
        finally:
            await connection.close()

    async def free(self) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute("drop table filler")
        finally:
            await connection.close()

    async def _took(self, connection: asyncpg.Connection, rows: int) -> bool:
        try:
            await connection.execute(
                "insert into filler select repeat('x', 1900) from generate_series(1, $1)", rows
            )
        except asyncpg.DiskFullError:
            return False
        return True


@asynccontextmanager
async def small_disk(directory: Path) -> AsyncIterator[SmallDisk]:
    """A server of one's own whose files are below `directory`."""
    server = _Server(directory)
    server.start()
    try:
        disk = SmallDisk(server.dsn)
        connection = await asyncpg.connect(server.dsn)
        try:
            await connection.execute(f"create tablespace small location '{server.small}'")
        finally:
            await connection.close()
        yield disk
    finally:
        server.stop(immediate=True)


class _Server(EmbeddedPostgres):
    @property
    def small(self) -> Path:
        return self.directory / "small"

    def _launch(self) -> Leashed:
        self.small.mkdir(exist_ok=True)
        command = [str(self.binaries / "postgres"), "-D", str(self.directory / "data")]
        command += [
            "-p",
            str(self.port),
            *(f"--{name}={value}" for name, value in SETTINGS.items()),
        ]
        return Leashed(
            [*_unshared(SERVE), self.small, *command],
            log=self.directory / "postgres.log",
            environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TZ": "UTC"},
            remove=self.directory,
        )
