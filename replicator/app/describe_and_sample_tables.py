"""Tables described and sampled: for `init` and for `plan --sample`."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import SystemRandom

from replicator.app.aws_client_cache import Clients
from replicator.app.sample_items import SampledItems, sample_items
from replicator.aws.source_connection import SourceConnection, connection_for
from replicator.clock import SystemClock
from replicator.core.stream_record import Image
from replicator.core.telemetry_events import unobserved
from replicator.engine.snapshot.read_rate_limit import ReadPacing
from replicator.sources.dynamodb.describe_table import TableDescription, describe_table

READ_UNITS_PER_SECOND = 100.0
"""Little enough for a table in use by others."""


@dataclass(frozen=True, slots=True)
class SampledTable:
    """A table, under the name that was asked for, and some of the items."""

    table: str
    description: TableDescription
    sample: SampledItems

    @property
    def images(self) -> list[Image]:
        """The items."""
        return self.sample.images


async def sample_tables(
    tables: Sequence[tuple[str, SourceConnection]], count: int
) -> list[SampledTable]:
    """Read the given tables (name or ARN, and where) and at about `count` items of each.

    StreamVanished for one that does not exist; SourceUnavailable, SourceDenied.
    """
    pacing = ReadPacing(READ_UNITS_PER_SECOND, SystemClock())
    found = []
    async with AsyncExitStack() as stack:
        clients = Clients(stack, unobserved)
        for table, place in tables:
            connection = connection_for(table, place)
            description = await describe_table(await clients.tables(connection), table)
            items = pacing.reader(await clients.items(connection, table))
            sample = await sample_items(items, count, SystemRandom(), description.key)
            found.append(SampledTable(table, description, sample))
    return found
