"""Of a server that tests start nothing is left, at whatever moment it is closed."""

import asyncio
import gc
import socket
import warnings

import pytest

from tests.support.tcp_server import TcpServer


async def waits(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def ends(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"said")
    await writer.drain()


@pytest.mark.parametrize("serve", [waits, ends])
@pytest.mark.parametrize("turns", range(8))
def test_no_connection_outlives_it(serve, turns: int):
    """It is closed so many turns of the loop after somebody connected: before it has accepted the
    connection, before the handler begins, while the handler waits.
    """

    async def closed_after() -> None:
        server = TcpServer(serve)
        port = await server.listen()
        with socket.create_connection(("127.0.0.1", port)):
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.close()
            await server.close()

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        asyncio.run(closed_after())
        gc.collect()

    assert [str(warning.message) for warning in said] == []
