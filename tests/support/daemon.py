"""One deployment as an operator has it: a configuration file, commands, running processes."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, Protocol, TypeVar

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.support.bounds import USUAL_SECONDS, lease, scaled
from tests.support.command import replicator
from tests.support.waiting import NotInTime, Patience, eventually
from tests.support.warm_start import ROOT, environment, warm_start

COMMAND_SECONDS = USUAL_SECONDS
LOG_LINES_SHOWN = 40

Found = TypeVar("Found")
Labels = frozenset[tuple[str, str]]
Samples = dict[tuple[str, Labels], float]
_HERE = threading.Lock()
_PORT = re.compile(r'"http":\s*"127\.0\.0\.1:(\d+)"')


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


class Process(Protocol):
    """What a test does with a process that it started; see subprocess.Popen."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float) -> int: ...
    def send_signal(self, number: int, /) -> None: ...


def cold_start(command: Sequence[str], *, stdout: IO[bytes], stderr: IO[bytes]) -> Process:
    """Start any program."""
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)


def plain_start(
    words: Sequence[str], *, stdout: IO[bytes], stderr: IO[bytes], python: str = sys.executable
) -> Process:
    """Run `replicator` as an operator does: a fork holds the memory of what it was forked from.

    And it reads nothing that a new interpreter reads, such as PYTHONPATH.
    """
    return subprocess.Popen(
        [python, "-m", "replicator", *words],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
    )


class ProcessEnded(AssertionError):
    """All that could bring about what is waited for have ended without it."""


async def brought_about(
    condition: Callable[[], Awaitable[Found]],
    *,
    what: str,
    by: Sequence["Worker"],
    seconds: float = USUAL_SECONDS,
    after: float = 0.0,
) -> Found:
    """`eventually`, by at least one of these processes: ProcessEnded once none of them runs.

    NotInTime shows the status of those that run: what still moves.
    """

    def logs() -> str:
        return "\n".join(worker.tail() for worker in by)

    async def found() -> Found:
        had_ended = all(worker.code is not None for worker in by)  # what they did last counts
        answer = await condition()
        if had_ended and not answer:
            raise ProcessEnded(f"nothing runs any more, and it is not so: {what}\n{logs()}")
        return answer

    try:
        return await eventually(found, what=what, seconds=seconds, after=after, show=logs)
    except NotInTime as late:
        statuses = [await worker.last_status() for worker in by]
        raise NotInTime("\n".join([str(late), *filter(None, statuses)])) from None


class Worker:
    """A `replicator run` of its own process; its log goes to a file."""

    def __init__(
        self, words: Sequence[str], log: Path, *, start: Callable[..., Process] = warm_start
    ) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = start(words, stdout=output, stderr=output)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        lines = self.text().splitlines()[-LOG_LINES_SHOWN:]
        return "\n".join([f"--- {self.log.name}, exit code {self.code}", *lines])

    def entries(self, event: str | None = None) -> list[dict[str, Any]]:
        """The log's JSON lines, those of one event if it is given."""
        entries = []
        for line in self.text().splitlines():
            with suppress(ValueError):
                entries.append(json.loads(line))
        return [entry for entry in entries if event is None or entry.get("event") == event]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It does nothing meanwhile (SIGSTOP): what happens inside has happened when it looks."""
        self.signal(signal.SIGSTOP)
        yield
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as the kernel does: nothing is drained, nothing released."""
        self.signal(signal.SIGKILL)
        self._process.wait(USUAL_SECONDS)

    async def stop(self, *, seconds: float = USUAL_SECONDS) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended(seconds=seconds)

    async def ended(self, *, seconds: float = COMMAND_SECONDS) -> int:
        """Wait until it ends by itself; the exit code."""
        await self.until(self._has_ended, what="the process ends", seconds=seconds)
        return self._process.wait(0)

    async def _has_ended(self) -> bool:
        return self.code is not None

    async def until(
        self,
        condition: Callable[[], Awaitable[Found]],
        *,
        what: str,
        seconds: float = USUAL_SECONDS,
        after: float = 0.0,
    ) -> Found:
        """`brought_about` by this process."""
        return await brought_about(condition, what=what, by=[self], seconds=seconds, after=after)

    async def last_status(self) -> str:
        """The status that it shows now, for a failure; nothing where it shows no pages."""
        served = self.code is None and _PORT.search(self.text())
        return f"--- status.json\n{(await self.get('/status.json'))[1]}" if served else ""

    # what it shows over HTTP

    async def url(self) -> str:
        """Where its pages are."""

        async def port() -> str | None:
            found = _PORT.search(self.text())
            return found[1] if found else None

        return f"http://127.0.0.1:{await self.until(port, what='the HTTP port is in the log')}"

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page; status 0 where nobody answers."""
        url = await self.url() + path
        timeout = aiohttp.ClientTimeout(total=scaled(20))
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url) as answer,
            ):
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, str(error)

    async def status(self) -> dict[str, Any]:
        """The document of /status.json; {} while there is none."""
        code, body = await self.get("/status.json")
        return json.loads(body) if code == 200 else {}

    async def table(self, name: str) -> dict[str, Any]:
        """One table of the status; {} while it is not there."""
        tables = (await self.status()).get("tables", [])
        return next((table for table in tables if table["source"] == name), {})

    async def shown_table(self, name: str) -> dict[str, Any]:
        """One table of a status that is there, for what is compared at once."""

        async def shown() -> dict[str, Any]:
            return await self.table(name)

        return await self.until(shown, what=f"the status shows {name}")

    async def metrics(self) -> Samples:
        """Every sample of /metrics by name and labels."""
        code, body = await self.get("/metrics")
        if code != 200:
            return {}
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }

    async def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over all samples that have these labels; 0 where no page answers."""
        return _sum(await self.metrics(), name, labels)

    async def counted(self, name: str, **labels: str) -> float:
        """That sum of a page that did answer, for what is compared at once."""
        samples = await self.until(self.metrics, what="/metrics answers")
        return _sum(samples, name, labels)


def _sum(samples: Samples, name: str, labels: Mapping[str, str]) -> float:
    wanted = set(labels.items())
    return sum(
        value for (sample, having), value in samples.items() if sample == name and wanted <= having
    )


@dataclass(slots=True)
class Deployment:
    """A configuration file in a directory, and every process started with it."""

    directory: Path
    settings: dict[str, Any]
    launch: Callable[..., Process] = warm_start
    workers: list[Worker] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.directory / "replicator.yaml"

    async def __aenter__(self) -> "Deployment":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what still runs, and print the logs: pytest shows them when the test failed.

        Where nobody holds back what is printed, only a failure does.
        """
        for worker in self.workers:
            worker.kill()
            if error is not None or sys.stdout is not sys.__stdout__:
                sys.stdout.write(worker.tail() + "\n")

    def start(self, *words: str) -> Worker:
        """Start `replicator run`."""
        log = self.directory / f"run-{len(self.workers) + 1}.log"
        worker = Worker(self._words("run", *words), log, start=self.launch)
        self.workers.append(worker)
        return worker

    async def start_ready(self) -> Worker:
        """Start `replicator run` and wait until it is ready."""
        worker = self.start()

        async def ready() -> bool:
            return (await worker.get("/readyz"))[0] == 200

        await worker.until(ready, what="/readyz answers 200")
        return worker

    async def run_until_caught_up(self, *, seconds: float = COMMAND_SECONDS) -> Worker:
        """`replicator run --until-caught-up`, ended."""
        worker = self.start("--until-caught-up")
        await worker.ended(seconds=seconds)
        return worker

    async def migrate(self) -> None:
        """`replicator migrate`, which must succeed."""
        done = await self.asked("migrate")
        assert done.code == 0, done.text

    async def asked(self, *words: str) -> Finished:
        """A command that ends soon, without a process where its start is not what is tested.

        One at a time has the arguments and the output of this process; another one is started.
        """
        if self.launch is not warm_start or not _HERE.acquire(blocking=False):
            return await self.command(*words)
        try:
            ended = await replicator(*self._words(*words), config=None)
        finally:
            _HERE.release()
        return Finished(ended.code, ended.out, ended.err)

    async def command(self, *words: str, seconds: float = COMMAND_SECONDS) -> Finished:
        """Run a command to its end."""
        with TemporaryFile() as stdout, TemporaryFile() as stderr:
            process = self.launch(self._words(*words), stdout=stdout, stderr=stderr)
            try:
                code = await asyncio.to_thread(_waited_for, process, seconds)
            except NotInTime as late:
                said = "\n".join(_texts(stdout, stderr))
                raise NotInTime(f"{late}: `{' '.join(words)}` ends; it said\n{said}") from None
            finally:
                process.send_signal(signal.SIGKILL)
            return Finished(code, *_texts(stdout, stderr))

    def _words(self, *words: str) -> list[str]:
        self.path.write_text(json.dumps(self.settings, indent=1))  # JSON is YAML
        return ["--config", str(self.path), *words]


def _waited_for(process: Process, seconds: float) -> int:
    patience = Patience(seconds)
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(patience.left)
        if patience.ends():
            raise NotInTime(f"not within {patience.seconds:g} s")


def _texts(*files: IO[bytes]) -> list[str]:
    """All that a process wrote there."""
    texts = []
    for file in files:
        file.seek(0)
        texts.append(file.read().decode(errors="replace"))
    return texts


def configuration(
    *,
    endpoint_url: str,
    dsn: str,
    tables: Mapping[str, Any],
    deployment: str,
    lease_seconds: float = lease(2.0),
    control_schema: str = "replicator",
    pooler: str = "none",
) -> dict[str, Any]:
    """A configuration for tests: short leases, a free port, all lines as JSON."""
    return {
        "version": 1,
        "deployment": deployment,
        "source": {"endpoint_url": endpoint_url},
        "coordination": {"table": f"leases-{deployment}", "lease_seconds": lease_seconds},
        "target": {"dsn": dsn, "control_schema": control_schema, "pooler": pooler},
        "http": {"port": 0},
        "log": {"level": "debug", "format": "json"},
        "poll": {"idle_seconds_max": 0.3},
        "tables": dict(tables),
    }
