"""Creates the table that the compose file replicates, and keeps its orders changing.

With `there` it says by its exit code whether the table is there.
"""

import asyncio
import os
import signal
import sys

from replicator.aws.client_factory import open_client
from replicator.aws.source_connection import SourceConnection
from replicator.clock import SystemClock
from replicator.demo.order_writer import Writer
from replicator.demo.sample_orders import TABLE, table_definition

CHANGES_PER_SECOND = float(os.environ.get("CHANGES_PER_SECOND", "5"))


async def main() -> None:
    """Create the table with its stream unless it is there; write until SIGTERM."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with open_client("dynamodb", SourceConnection()) as client:
        if sys.argv[1:] == ["there"]:
            await client.describe_table(TableName=TABLE)
            return
        try:
            await client.create_table(**table_definition())
        except client.exceptions.ResourceInUseException:
            sys.stderr.write("the table is there already\n")
        await Writer(client, SystemClock(), rate=CHANGES_PER_SECOND).write(stopping)


asyncio.run(main())
