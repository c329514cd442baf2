"""Lambda's Runtime API for the real runtime client.

Serves one function: gives an environment its next event, takes the answer, kills what is too slow
and starts another environment.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import Any

from tests.support.bounds import USUAL_SECONDS, scaled

ROOT = Path(__file__).parents[2]
STARTED_SECONDS_MAX = USUAL_SECONDS
EVENT_SECONDS = scaled(30.0)
"""What Lambda gives an event, where nothing stands still until that is over."""
CLOSED_WITHIN_SECONDS = 0.05
FUNCTION_ARN = "arn:aws:lambda:eu-west-1:111122223333:function:orders"


@dataclass(slots=True)
class Invocation:
    """One event on its way; `answer` None: it failed, or its environment was killed."""

    event: Any
    seconds: float
    taken: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    answer: Any = None
    error: Any = None


def _here(_: Mapping[str, str]) -> list[str]:
    return [sys.executable, "-m", "awslambdaric", "replicator.lambda_handler.handler"]


class _RuntimeApi(ThreadingHTTPServer):
    """The Runtime API as one process meets it.

    A process that is killed may have sent more than was read: here it takes neither the event nor
    the answer of the process that follows, which has an API of its own.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self._waiting: Queue[Invocation] = Queue()
        self._current: Invocation | None = None
        super().__init__(("127.0.0.1", 0), self._handler())
        threading.Thread(
            target=self.serve_forever, args=(CLOSED_WITHIN_SECONDS,), daemon=True
        ).start()

    def give(self, invocation: Invocation) -> None:
        """Have the process take the event when it asks for the next one."""
        self._waiting.put(invocation)

    def close(self) -> None:
        """Accept no further connection."""
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A process that was killed says nothing more."""

    def _handler(api) -> type[BaseHTTPRequestHandler]:  # noqa: N805 (the handler has its own self)
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                invocation = api._waiting.get()
                api._current = invocation
                body = json.dumps(invocation.event).encode()
                deadline = int((time.time() + invocation.seconds) * 1000)
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", "1")
                self.send_header("Lambda-Runtime-Deadline-Ms", str(deadline))
                self.send_header("Lambda-Runtime-Invoked-Function-Arn", FUNCTION_ARN)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                invocation.taken.set()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                invocation = api._current
                if invocation is not None:
                    answer = json.loads(body) if body else None
                    if self.path.endswith("/response"):
                        invocation.answer = answer
                    else:
                        invocation.error = answer
                    api._current = None
                    invocation.done.set()
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name)
                pass

        return Handler


class Environment:
    """One execution environment: a process with awslambdaric in it."""

    def __init__(
        self,
        environ: Mapping[str, str],
        log: Path,
        *,
        words: Callable[[Mapping[str, str]], list[str]] = _here,
    ) -> None:
        """`words` make the command that runs it with some variables."""
        self._environ = environ
        self._words = words
        self._log = log
        self._start()

    def __enter__(self) -> "Environment":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._api.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the Runtime API."""
        host, port = self._api.server_address[:2]
        return str(host), port

    def invoke(self, event: Any, *, seconds: float = EVENT_SECONDS) -> Invocation:
        """Deliver an event and wait for its answer; too slow an environment is killed."""
        invocation = Invocation(event, seconds)
        self._api.give(invocation)
        if not invocation.done.wait(seconds + STARTED_SECONDS_MAX):
            self.restart()
        return invocation

    def invoke_and_kill(self, event: Any, until: Callable[[Invocation], object]) -> None:
        """Deliver an event, and kill the environment when `until` returns, answered or not."""
        invocation = Invocation(event, seconds=EVENT_SECONDS)
        self._api.give(invocation)
        invocation.taken.wait(STARTED_SECONDS_MAX)
        until(invocation)
        self.restart()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(USUAL_SECONDS)

    def restart(self) -> None:
        """What Lambda does after a timeout: the next event meets a new environment."""
        self.kill()
        self._api.close()
        self._start()

    def _start(self) -> None:
        self._api = _RuntimeApi()
        host, port = self.address
        environ = {
            **self._environ,
            "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}",
            "AWS_LAMBDA_FUNCTION_NAME": "orders",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_GROUP_NAME": "log",
            "AWS_LAMBDA_LOG_STREAM_NAME": "log",
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words(environ),
                cwd=ROOT,
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
