"""A server of aiohttp for the length of a block, on a port of the loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def served(application: web.Application, *, port: int = 0) -> AsyncIterator[str]:
    """The URL of the application, without a slash at its end.

    `port` 0: any free one, which another server may have as soon as the block has ended; who calls
    it behind the block names a kept one.
    """
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
