"""A TCP proxy before PostgreSQL that knows its messages: it holds, drops, delays or cuts at one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from tests.support.tcp_server import TcpServer

Sender = Literal["client", "server"]
Action = Literal["hold", "cut", "cut after", "silence", "delay"]
_SSL_REQUEST, _GSS_REQUEST, _CANCEL_REQUEST = 80877103, 80877104, 80877102


@dataclass(slots=True)
class Rule:
    """What happens at a message that `sender` sends while a statement with `statement` runs.

    `kind` is the message's letter: B (Bind), E (Execute), S (Sync), Q (Query) of the client; 2
    (BindComplete), C (CommandComplete), Z (ReadyForQuery) of the server. "hold" waits for
    `released`, "cut" drops it and the connection, "cut after" delivers it and drops the
    connection before any answer, "silence" drops it and whatever follows on that connection in that
    direction, "delay" waits `seconds`, and as long as a link of `bytes_a_second` needs for it.
    """

    sender: Sender
    kind: str
    statement: str
    action: Action
    times: int = 1
    seconds: float = 0.0
    bytes_a_second: float = inf
    met: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def fits(self, sender: Sender, kind: str, statement: str) -> bool:
        return (
            self.times > 0
            and self.sender == sender
            and self.kind == kind
            and self.statement in statement
        )


class Proxy:
    """Rules apply to all connections; each strikes `times` times."""

    def __init__(self, dsn: str) -> None:
        address = urlsplit(dsn)
        assert address.hostname is not None
        self._behind = (address.hostname, address.port or 5432)
        self._address = address
        self._rules: list[Rule] = []
        self._server = TcpServer(self._carry)
        self._port: int | None = None

    @property
    def dsn(self) -> str:
        """Where it listens."""
        assert self._port is not None
        user = f"{self._address.username}@" if self._address.username else ""
        return urlunsplit(self._address._replace(netloc=f"{user}127.0.0.1:{self._port}"))

    def plan(
        self,
        action: Action,
        *,
        sender: Sender = "client",
        kind: str,
        statement: str,
        times: int = 1,
        seconds: float = 0.0,
        bytes_a_second: float = inf,
    ) -> Rule:
        rule = Rule(sender, kind, statement, action, times, seconds, bytes_a_second)
        self._rules.append(rule)
        return rule

    def heal(self) -> None:
        """Forget all rules; what is held goes on."""
        for rule in self._rules:
            rule.times = 0
            rule.released.set()
        self._rules.clear()

    async def listen(self) -> None:
        self._port = await self._server.listen()

    async def close(self) -> None:
        self.heal()
        await self._server.close()

    async def meet(self, sender: Sender, kind: str, statement: str, size: int) -> Action | None:
        """Wait as a rule says; what else it asks for."""
        rule = next((rule for rule in self._rules if rule.fits(sender, kind, statement)), None)
        if rule is None:
            return None
        rule.times -= 1
        rule.met.set()
        if rule.action == "hold":
            await rule.released.wait()
            return None
        if rule.action == "delay":
            await asyncio.sleep(rule.seconds + size / rule.bytes_a_second)
            return None
        return rule.action

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection(*self._behind)
        except OSError:  # whoever connected is told by the end of its connection
            return
        await _Connection(self, (reader, writer), server).run()


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    """Two pumps that end together."""

    def __init__(self, proxy: Proxy, client: Stream, server: Stream) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._statements: dict[bytes, str] = {}
        self._running = ""
        self._greeted = asyncio.Event()

    async def run(self) -> None:
        pumps = [
            asyncio.create_task(self._from_client()),
            asyncio.create_task(self._from_server()),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for _, writer in (self._client, self._server):
                writer.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _from_client(self) -> None:
        if await self._start():
            await self._pump("client", self._client[0], self._server[1])

    async def _from_server(self) -> None:
        await self._greeted.wait()
        await self._pump("server", self._server[0], self._client[1])

    async def _start(self) -> bool:
        """The first message has no letter, and one that asks for TLS is answered by a letter."""
        reader, writer = self._client
        while True:
            head = await reader.readexactly(8)
            code = int.from_bytes(head[4:])
            body = await reader.readexactly(int.from_bytes(head[:4]) - 8)
            if code in (_SSL_REQUEST, _GSS_REQUEST):
                writer.write(b"N")
                continue
            self._server[1].write(head + body)
            self._greeted.set()
            return code != _CANCEL_REQUEST

    async def _pump(
        self, sender: Sender, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        silent = False
        while True:
            try:
                head = await reader.readexactly(5)
                body = await reader.readexactly(int.from_bytes(head[1:]) - 4)
            except (asyncio.IncompleteReadError, OSError):
                return
            kind = chr(head[0])
            if sender == "client":
                self._note(kind, body)
            action = await self._proxy.meet(sender, kind, self._running, len(body))
            silent = silent or action == "silence"
            if action == "cut":
                return
            if not silent:
                writer.write(head + body)
                with suppress(OSError):
                    await writer.drain()
            if action == "cut after":
                writer.close()  # once what was written is sent; from here on nothing is read
                with suppress(OSError):
                    await writer.wait_closed()
                return

    def _note(self, kind: str, body: bytes) -> None:
        match kind:
            case "P":
                name, text, _ = body.split(b"\0", 2)
                self._running = self._statements[name] = text.decode(errors="replace")
            case "B":
                _, name, _ = body.split(b"\0", 2)
                self._running = self._statements.get(name, "")
            case "Q":
                self._running = body.rstrip(b"\0").decode(errors="replace")


@asynccontextmanager
async def proxy(dsn: str) -> AsyncIterator[Proxy]:
    """A proxy before the server of a DSN, which must not ask for TLS."""
    before = Proxy(dsn)
    await before.listen()
    try:
        yield before
    finally:
        await before.close()
