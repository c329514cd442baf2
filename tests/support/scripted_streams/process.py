"""A scripted server in a process of its own, gone when its starter is."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from tests.support.bounds import USUAL_SECONDS
from tests.support.scripted_streams.client import RemoteStreams

ROOT = Path(__file__).parents[3]
STOP_SECONDS = USUAL_SECONDS


@contextmanager
def start_process(
    *, forward: str | None = None, hours_behind: float = 0, script: Path | None = None
) -> Iterator[RemoteStreams]:
    """The control of a server in another process; see server.scripted_streams.

    `script` is a file of verbs to begin with, one JSON object a line.
    """
    with subprocess.Popen(
        command(forward=forward, hours_behind=hours_behind, script=script),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            if not line:
                raise RuntimeError(f"the scripted server ended with {server.wait(STOP_SECONDS)}")
            yield RemoteStreams(orjson.loads(line)["endpoint_url"], pid=server.pid)
        finally:
            server.terminate()
            server.wait(STOP_SECONDS)


def command(
    *, forward: str | None = None, hours_behind: float = 0, script: Path | None = None
) -> list[str]:
    """Starts a server that ends when its standard input does."""
    words = [sys.executable, "-m", "tests.support.scripted_streams", "--leashed"]
    words += ["--hours-behind", str(hours_behind)]
    words += ["--forward", forward] if forward else []
    words += ["--control", str(script)] if script else []
    return words
