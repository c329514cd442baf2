"""A TCP server of which nothing is left when it is closed."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class TcpServer:
    """A server on 127.0.0.1 that hands each connection to `serve`, and closes it afterwards.

    asyncio's own forgets connections: one that is accepted while the server is closed, or whose
    handler is cancelled before it begins, stays open when the loop ends, and the warning about it
    fails whatever test runs when it is collected.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._listening: socket.socket | None = None
        self._handlers: dict[asyncio.Task[None], socket.socket] = {}

    async def listen(self) -> int:
        """Begin; the port."""
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._listening.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)
        port: int = self._listening.getsockname()[1]
        return port

    async def close(self) -> None:
        """Listen no more, cancel all handlers and close their connections; again: nothing."""
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        handlers = dict(self._handlers)
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await asyncio.sleep(0)  # what is aborted is closed in the loop's next turn
        for connection in handlers.values():
            connection.close()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            connection, _ = listening.accept()
            connection.setblocking(False)
            handler = asyncio.create_task(self._handle(connection))
            self._handlers[handler] = connection
            handler.add_done_callback(self._handlers.pop)

    async def _handle(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            await self._serve(reader, writer)
        finally:
            writer.transport.abort()
