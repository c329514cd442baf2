"""Every command as a person interrupts it, leaves its output, and reads it on two terminals."""

import asyncio
import fcntl
import json
import os
import re
import shutil
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from replicator.cli.terminal.output import ExitCode
from tests.cli.test_every_command import COMMANDS, GROUPS, REQUIRED
from tests.support.bounds import USUAL_SECONDS
from tests.support.control import stream_arn, write_configuration
from tests.support.tcp_server import TcpServer
from tests.support.waiting import eventually, pace
from tests.support.warm_start import warm_start
from tests.support.wide import every

NOTHING_TO_INTERRUPT = {
    "version": "it ends by itself",
    "map": "test_an_interrupt_is_quiet",
    "demo": "test_it_ends_quietly_when_interrupted",
}
FAILED_BATCH = {
    "shardId": "shardId-0",
    "startSequenceNumber": "100",
    "endSequenceNumber": "101",
    "approximateArrivalOfFirstRecord": "2026-03-01T00:00:00Z",
    "approximateArrivalOfLastRecord": "2026-03-01T00:00:01Z",
    "batchSize": 2,
    "streamArn": stream_arn("orders"),
}
LONG_REASON = "; ".join(
    f"attribute 'measurements.{name}', column 'measured_{name}': the value is no number"
    for name in ("height", "width", "depth", "weight")
)
READ = {
    "status": ["status"],
    "dead letters by reason": ["dead-letters", "list"],
    "each dead letter": ["dead-letters", "list", "--each"],
    "gaps": ["gaps", "list"],
    "check": ["check"],
}


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


async def ended(words: list[str], *, stdout: int) -> Ended:
    """How a process ends whose output goes to the descriptor, which is closed here."""
    with TemporaryFile() as stderr, os.fdopen(stdout, "wb") as out:
        process = warm_start(words, stdout=out, stderr=stderr)
        out.close()
        code = await asyncio.to_thread(process.wait, USUAL_SECONDS)
        stderr.seek(0)
        return Ended(code, "", stderr.read().decode())


@asynccontextmanager
async def server_that_never_answers() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Its port, and an event once somebody has connected."""
    connected = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()

    server = TcpServer(wait)
    port = await server.listen()
    try:
        yield port, connected
    finally:
        await server.close()


@pytest.mark.parametrize(
    "path",
    every(4, of=[path for path in COMMANDS if " ".join(path) not in NOTHING_TO_INTERRUPT]),
    ids=" ".join,
)
async def test_ctrl_c_ends_a_command_that_waits_for_a_server_at_once_and_quietly(
    path: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    failed = tmp_path / "events.json"
    failed.write_text(json.dumps({"DDBStreamBatchInfo": FAILED_BATCH}))
    monkeypatch.setenv("REPLICATOR_EXPORT__BUCKET", "exports")  # which `gaps heal` asks for
    more = {"init": ["--table", "orders"], "selftest": ["--yes"], "lambda redrive": [str(failed)]}
    name = " ".join(path)
    words = more.get(name, REQUIRED.get(name, []))
    async with server_that_never_answers() as (port, connected):
        config = write_configuration(
            tmp_path,
            "orders",
            dsn=f"postgresql://me:secret@127.0.0.1:{port}/app?sslmode=disable",
            endpoint_url=f"http://127.0.0.1:{port}",
        )
        with TemporaryFile() as stdout, TemporaryFile() as stderr:
            words = ["--config", str(config), *path, *words]
            process = warm_start(words, stdout=stdout, stderr=stderr)
            try:
                async with asyncio.timeout(USUAL_SECONDS):
                    while not connected.is_set() and process.poll() is None:
                        await pace()
                process.send_signal(signal.SIGINT)
                code = await asyncio.to_thread(process.wait, USUAL_SECONDS)
            finally:
                process.send_signal(signal.SIGKILL)
            said = []
            for file in (stdout, stderr):
                file.seek(0)
                said.append(file.read().decode())

    assert code == (ExitCode.FINE if path == ["run"] else ExitCode.INTERRUPTED), said
    assert said[0] == ""
    assert "Traceback" not in said[1]


@pytest.mark.parametrize("path", every(5, of=[[], *COMMANDS, *GROUPS]), ids=" ".join)
async def test_a_reader_that_has_left_is_no_failure_of_help(path: list[str]):
    reads, writes = os.pipe()
    os.close(reads)

    found = await ended([*path, "--help"], stdout=writes)

    assert (found.code, found.err) == (ExitCode.PIPE_CLOSED, "")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("replicator sta", "replicator status "),
        pytest.param(
            "replicator dead-letters rep", "replicator dead-letters replay ", marks=pytest.mark.wide
        ),
        pytest.param(
            "replicator verify --rep", "replicator verify --repair ", marks=pytest.mark.wide
        ),
    ],
)
async def test_a_tab_in_a_live_shell_completes_what_is_typed(
    typed: str, completed: str, tmp_path: Path
):
    program = tmp_path / "replicator"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m replicator "$@"\n')
    program.chmod(0o755)
    begin = tmp_path / "bashrc"
    begin.write_text(
        f'PATH="{tmp_path}:$PATH"; eval "$(replicator --show-completion bash)"; PS1=ok:\n'
    )
    bash = shutil.which("bash")
    assert bash is not None
    master, slave = os.openpty()
    shell = await asyncio.create_subprocess_exec(
        *(bash, "--noprofile", "--rcfile", str(begin), "-i"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=os.environ | {"TERM": "dumb", "HOME": str(tmp_path)},
        start_new_session=True,
    )
    os.close(slave)
    shown = Screen(master)
    try:
        await shown.until("ok:")
        os.write(master, f"{typed}\t".encode())

        await shown.until(completed)
    finally:
        shell.kill()
        await shell.wait()
        os.close(master)


class Screen:
    """All that a terminal has shown so far."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._text = ""
        os.set_blocking(master, False)

    async def until(self, expected: str) -> None:
        """Wait for a text to be shown."""

        async def there() -> bool:
            with suppress(BlockingIOError, OSError):
                self._text += os.read(self._master, 65536).decode()
            return expected in self._text

        await eventually(there, what=f"the terminal shows {expected!r}", show=lambda: self._text)


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("columns", every(2, of=[80, 200]))
async def test_what_a_command_says_fits_the_terminal(control, configure, name: str, columns: int):
    config = await troubled(control, configure)

    text = await on_terminal(["--config", str(config), *READ[name]], columns=columns)
    lines = text.splitlines()

    assert lines
    assert [line for line in lines if len(line) > columns] == []
    assert "…" not in text.replace(", …", "")  # the ids that are left out; a name is never cut
    assert [line for line in lines if line.count("`") % 2] == []  # a command can be copied


async def troubled(control, configure) -> Path:
    """The configuration of a deployment with a problem of each kind that PostgreSQL knows."""
    tables = ("customers", "measurements", "orders", "payments-of-all-tenants")
    await control.register(*tables[:3], "payments-of-all-tenants")
    for table in tables:
        await control.generation(table)
        await control.shard(table, owner="one")
        await control.head(table)
    await control.worker("replicator-7d9f8c-abcde")
    for number in range(12):
        await control.letter(
            "measurements", key=f"device-{number:020}", sequence_number=number, reason=LONG_REASON
        )
    await control.gap("orders")
    await control.connection.execute(
        "update replicator.table_state set halted = true, reason = 'public.customers has no column"
        " placed_at, which the mapping of customers writes', remedy = 'add it with `replicator"
        " migrate`, then run `replicator resume --table customers`' where source = 'customers'"
    )
    return configure(*tables)


async def on_terminal(words: list[str], *, columns: int) -> str:
    """All that a command shows on a terminal of that width, without colours."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    reading = asyncio.get_running_loop().run_in_executor(None, all_of, master)
    await ended(words, stdout=slave)
    text = (await reading).decode().replace("\r\n", "\n")
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def all_of(master: int) -> bytes:
    found = b""
    with os.fdopen(master, "rb", buffering=0) as terminal:
        while True:
            try:
                part = terminal.read(65536)
            except OSError:  # nobody has the other side open any more
                return found
            if not part:
                return found
            found += part
