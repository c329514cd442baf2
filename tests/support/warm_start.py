"""`replicator` in a process of its own that begins as a fork of one that has it imported.

Importing takes most of a start, and taking it all apart most of an end: a fork does neither. What
a test sees is the same otherwise: another process, another environment, its own files, real
signals.
"""

import asyncio
import atexit
import gc
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, NoReturn

import replicator

ROOT = Path(__file__).parents[2]
BYTECODE = ROOT / ".pytest_cache" / "bytecode"
"""Kept for all processes of all tests: compiling takes longer than most of what they do."""
LATER = ("alembic.command",)
"""Imported by the product only where it is needed, which tests need all the time."""
AT_THE_END = (
    ("replicator.app.daemon.run", "LAST_LOOK_SECONDS_MAX"),
    ("replicator.engine.worker.worker", "DRAIN_SECONDS_MAX"),
    ("replicator.engine.worker.worker", "RELEASE_SECONDS_MAX"),
)
"""Limits of the product, each with its module; short ones, for an orchestrator waits no longer."""
REQUEST_BYTES_MAX = 1_000_000
PYTHONPATH = os.environ.get("PYTHONPATH")


def keeps_bytecode() -> dict[str, str]:
    """What tells an interpreter that starts to read compiled modules there, and to add to them."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(BYTECODE)}


class Process:
    """A forked process; its exit code comes through a pipe, since its parent is the launcher."""

    def __init__(self, pid: int, ended: int) -> None:
        self.pid = pid
        self._ended = ended
        self._has_ended = select.poll()
        self._has_ended.register(ended)
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, None while it runs; negative where a signal ended it."""
        return self._read(0)

    def wait(self, timeout: float) -> int:
        """The exit code; subprocess.TimeoutExpired."""
        code = self._read(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"replicator, process {self.pid}", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Nothing happens to a process that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _read(self, seconds: float) -> int | None:
        if self._code is None and self._has_ended.poll(seconds * 1000):
            self._code = int(os.read(self._ended, 16) or -signal.SIGKILL)
            os.close(self._ended)
        return self._code


def warm_start(words: Sequence[str], *, stdout: IO[bytes], stderr: IO[bytes]) -> Process:
    """Run `replicator` with these words, in the environment as it is now.

    An interpreter reads some of that only when it starts: see daemon.plain_start.
    """
    assert os.environ.get("PYTHONPATH") == PYTHONPATH, "a fork does not read it: use plain_start"
    reads, writes = os.pipe()
    try:
        files = stdout.fileno(), stderr.fileno(), writes
        return Process(_launcher().start(words, files), reads)
    finally:
        os.close(writes)


class _Launcher:
    """The process that forks; it ends with its starter, and all that it forked with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.warm_start", str(other.fileno())],
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
            )

    def start(self, words: Sequence[str], files: Sequence[int]) -> int:
        request = json.dumps({"words": words, "env": environment()}).encode()
        with self._lock:
            socket.send_fds(self._socket, [request], files)
            answer = self._socket.recv(16)
        if not answer:
            raise RuntimeError(f"the launcher ended with {self._process.wait()}")
        return int(answer)

    def close(self) -> None:
        """End the launcher and all that it forked."""
        self._socket.close()
        self._process.wait()


@cache
def _launcher() -> _Launcher:
    launcher = _Launcher()
    atexit.register(launcher.close)
    return launcher


def environment() -> dict[str, str]:
    """Ours, as a test's fixtures made it, with a place for compiled modules."""
    return os.environ | keeps_bytecode()


# The launcher's side


def _serve(requests: socket.socket) -> None:
    """Fork for every request; returns in each fork, and never in the launcher itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the starter's to answer
    running: dict[int, tuple[int, int]] = {}  # by a descriptor of the process: its id, its pipe
    while True:
        for ready in select.select([requests.fileno(), *running], [], [])[0]:
            if ready != requests.fileno():
                pid, ended = running.pop(ready)
                os.close(ready)
                _tell_end(pid, ended)
                continue
            message, files, _, _ = socket.recv_fds(requests, REQUEST_BYTES_MAX, 3)
            if not message:
                for pid, _ in running.values():
                    os.kill(pid, signal.SIGKILL)
                sys.exit()
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                requests.close()
                _become(files[0], files[1], **json.loads(message))
                return
            running[os.pidfd_open(pid)] = pid, files.pop()
            for file in files:
                os.close(file)
            requests.send(str(pid).encode())


def _tell_end(pid: int, ended: int) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(BrokenPipeError):  # nobody wants to know
        os.write(ended, str(code).encode())
    os.close(ended)


def _become(stdout: int, stderr: int, words: Sequence[str], env: Mapping[str, str]) -> None:
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.closerange(3, 1024)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["replicator", *words]


def end_process(code: int) -> NoReturn:
    """End a fork as an interpreter ends, but for taking apart all modules that are imported, which
    copies the memory of the launcher: that takes longer than most commands.

    Threads are waited for, and what nobody reaches any more is destroyed, so that it says what it
    has to say.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _import_all() -> None:
    for module in pkgutil.walk_packages(replicator.__path__, "replicator."):
        if not module.name.startswith(("replicator.lambda_handler", "replicator.__main__")):
            with suppress(ImportError):  # an extra that is not installed
                import_module(module.name)
    for name in LATER:
        import_module(name)


def allow_more_time_at_the_end() -> None:
    """Scale the limits of the product's end: an exit code tells less if a look is cut off."""
    scaled = import_module("tests.support.bounds").scaled  # which imports this module
    for module, name in AT_THE_END:
        owner = import_module(module)
        setattr(owner, name, scaled(getattr(owner, name)))


async def _open_clients() -> None:
    """So that every fork has the SDK's descriptions of services, read and parsed."""
    clients = import_module("replicator.aws.client_factory")
    place = import_module("replicator.aws.source_connection")
    nowhere = place.SourceConnection(region="us-east-1", endpoint_url="http://127.0.0.1:1")
    for service in ("dynamodb", "dynamodbstreams"):
        async with clients.open_client(service, nowhere):
            pass


if __name__ == "__main__":
    from replicator.cli import main

    _import_all()
    allow_more_time_at_the_end()
    asyncio.run(_open_clients())
    gc.collect()
    gc.freeze()  # else each fork looks through all of it when it ends, and copies it for that
    with socket.socket(fileno=int(sys.argv[1])) as socket_of_starter:
        _serve(socket_of_starter)
    try:
        main()
    except SystemExit as end:
        code_of_fork = end.code
    assert isinstance(code_of_fork, int)
    end_process(code_of_fork)
