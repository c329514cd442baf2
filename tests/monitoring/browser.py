"""A headless Chromium, spoken to over its DevTools protocol."""

import base64
import itertools
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from tests.support.bounds import USUAL_SECONDS
from tests.support.waiting import NotInTime, becomes_true, eventually

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
    "about:blank",
)
_FRAME_BYTES_MAX = 64 * 1024 * 1024  # a screenshot comes as one message


def chromium_or_skip() -> str:
    """Where the program is; the test is skipped without it, except in CI."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        assert os.environ.get("CI") != "true", "chromium is required in CI"
        pytest.skip("chromium is not installed")
    return program


class Tab:
    """One page. `complaints` are what it wrote to its console and what its policy blocked."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = await self._socket.receive()
            assert message.type is WSMsgType.TEXT, message
            said = message.json()
            if said.get("id") == number:
                assert "error" not in said, said["error"]
                result: dict[str, Any] = said["result"]
                return result
            self._note(said)

    def _note(self, event: dict[str, Any]) -> None:
        match event.get("method"):
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled":
                self.complaints.append(str(event["params"]))
            case "Log.entryAdded" if event["params"]["entry"]["source"] != "network":
                self.complaints.append(event["params"]["entry"]["text"])

    async def open(self, url: str) -> None:
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)
        await self.until(f"location.href.startsWith({url!r}) && document.readyState === 'complete'")

    async def evaluate(self, expression: str) -> Any:
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until the expression is true in the page."""

        async def true() -> bool:
            return bool(await self.evaluate(f"Boolean({expression})"))

        try:
            await eventually(true, what=expression)
        except NotInTime as late:
            text = await self.evaluate("document.body.innerText")
            raise AssertionError(f"{late}the page says:\n{text}") from None

    async def look(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=scheme)
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        await self.call("Emulation.setDeviceMetricsOverride", **metrics)

    async def photograph(self, *, height: int | None = None) -> bytes:
        """The page as a PNG, or as much of its top."""
        metrics = await self.call("Page.getLayoutMetrics")
        whole = metrics["cssContentSize"]
        clip = whole | {"height": height or whole["height"], "scale": 1}
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(shot["data"])


@contextmanager
def browser(program: str, profile: Path) -> Iterator[int]:
    """Start one with a new profile, and end it; yields the port of its DevTools.

    Its sockets are in a directory with a short name: one whose path has more than 107 bytes, as in
    a test's own directory, aborts it.
    """
    # processes that it has started may be there, and write, for a moment longer than itself
    with TemporaryDirectory(prefix="chromium-", dir="/tmp", ignore_cleanup_errors=True) as sockets:
        log = profile.with_suffix(".log")
        with log.open("wb") as said:
            process = subprocess.Popen(
                [program, *_FLAGS, f"--user-data-dir={profile}"],
                env=os.environ | {"TMPDIR": sockets},
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
        try:
            yield _port(process, profile / "DevToolsActivePort", log)
        finally:
            process.terminate()
            process.wait(USUAL_SECONDS)


def _port(process: subprocess.Popen[bytes], written: Path, log: Path) -> int:
    def said() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"chromium ended with {process.returncode}: {log.read_text()}")
        return written.exists() and bool(written.read_text().strip())

    assert becomes_true(said), "chromium does not say where it listens"
    return int(written.read_text().splitlines()[0])


@asynccontextmanager
async def new_tab(port: int) -> AsyncIterator[Tab]:
    """A tab that knows nothing of the others, closed at the end."""
    devtools = f"http://127.0.0.1:{port}/json"
    async with ClientSession() as client:
        async with client.put(f"{devtools}/new?about:blank") as answer:
            target = await answer.json()
        url = target["webSocketDebuggerUrl"]
        async with client.ws_connect(url, max_msg_size=_FRAME_BYTES_MAX) as socket:
            yield Tab(socket)
        async with client.get(f"{devtools}/close/{target['id']}") as answer:
            await answer.read()
