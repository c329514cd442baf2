"""A headless Chromium, spoken to over its DevTools protocol."""

# ruff: noqa: ASYNC110, ASYNC240 (a foreign process is waited for, beside nothing else)

import asyncio
import base64
import itertools
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

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


def chromium() -> str | None:
    """Where the program is, if it is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


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

    async def until(self, expression: str, *, seconds: float = 15) -> None:
        """Wait until the expression is true in the page."""
        try:
            async with asyncio.timeout(seconds):
                while not await self.evaluate(f"Boolean({expression})"):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            text = await self.evaluate("document.body.innerText")
            message = f"never true: {expression}; the page says:\n{text}"
            raise AssertionError(message) from None

    async def look(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=scheme)
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        await self.call("Emulation.setDeviceMetricsOverride", **metrics)

    async def photograph(self, path: Path) -> None:
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def browser(program: str, profile: Path) -> AsyncIterator[Tab]:
    """Start one with a new profile, and end it."""
    process = await asyncio.create_subprocess_exec(
        program,
        *_FLAGS,
        f"--user-data-dir={profile}",
        env=os.environ | {"TMPDIR": str(profile.parent)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await _port(profile / "DevToolsActivePort")
        async with ClientSession() as client:
            async with client.get(f"http://127.0.0.1:{port}/json/list") as answer:
                targets = await answer.json()
            url = next(one["webSocketDebuggerUrl"] for one in targets if one["type"] == "page")
            async with client.ws_connect(url, max_msg_size=_FRAME_BYTES_MAX) as socket:
                yield Tab(socket)
    finally:
        process.terminate()
        await process.wait()


async def _port(written: Path) -> int:
    async with asyncio.timeout(30):
        while not (written.exists() and written.read_text().strip()):
            await asyncio.sleep(0.05)
    return int(written.read_text().splitlines()[0])
