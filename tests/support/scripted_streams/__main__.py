"""Run the scripted server: `python -m tests.support.scripted_streams --port 8000`."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import orjson

from tests.support.scripted_streams.server import scripted_streams


def main() -> None:
    parser = argparse.ArgumentParser(description="A DynamoDB Streams that follows a script.")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--forward", help="URL of the emulator for everything not scripted")
    parser.add_argument("--hours-behind", type=float, default=0, help="start in the past")
    parser.add_argument(
        "--control", type=Path, help="a file of verbs to begin with, one JSON object a line"
    )
    parser.add_argument("--leashed", action="store_true", help="end when standard input does")
    asyncio.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    verbs = options.control.read_bytes().splitlines() if options.control else []
    async with await scripted_streams(
        forward=options.forward, port=options.port, hours_behind=options.hours_behind
    ) as streams:
        for verb in verbs:
            streams.perform(orjson.loads(verb))
        if options.leashed:
            loop.add_reader(sys.stdin, stopping.set)
        sys.stdout.write(orjson.dumps({"endpoint_url": streams.endpoint_url}).decode() + "\n")
        sys.stdout.flush()
        await stopping.wait()


main()
