"""Forgets a table on both sides: the leases in DynamoDB, then all else in PostgreSQL."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from replicator.app.administration.open_control_schema import (
    control_database,
    registered_tables,
    require_known,
)
from replicator.app.aws_client_cache import Clients
from replicator.config.connection_parameters import source_connection
from replicator.config.settings import Settings
from replicator.coordination.dynamodb_leases import DynamoDBLeases
from replicator.core.telemetry_events import unobserved
from replicator.errors import CoordinationUnavailable
from replicator.postgres.connection.database import Database
from replicator.postgres.control.forget_table import Forgetting, Record, Streams


@dataclass(frozen=True, slots=True)
class Forgettable:
    """Everything known about one table that `forget` would drop."""

    record: Record
    leases: tuple[str, ...]
    """Keys of the rows in the lease table."""

    @property
    def nothing(self) -> bool:
        """True when only the registration itself is left to forget."""
        record = self.record
        return not (
            self.leases or record.positions or record.gaps or record.dead_letters or record.targets
        )


async def forgettable(settings: Settings, table: str) -> Forgettable | None:
    """Everything that `forget` would drop of a table; None when nothing is on record.

    ConfigurationError for an unknown name, and while workers hold the table.
    """
    async with control_database(settings) as database, lease_table(settings) as leases:
        registered = await registered_tables(database)
        require_known(table, settings, registered)
        known = await look(settings, database, leases, table)
    return None if table not in registered and known.nothing else known


async def forget_table(settings: Settings, table: str, *, who: str, why: str | None) -> Forgettable:
    """Drop everything that is known of a table; returns what was dropped."""
    async with control_database(settings) as database, lease_table(settings) as leases:
        return await forget(settings, database, leases, table, who=who, why=why)


async def look(
    settings: Settings, database: Database, leases: DynamoDBLeases, source: str
) -> Forgettable:
    """List what `forget` would drop; ConfigurationError while workers hold the table.

    CoordinationUnavailable when the leases cannot be read.
    """
    forgetting = Forgetting(database)
    await forgetting.refuse_in_use(source)
    streams = dict(await forgetting.streams())
    if source not in streams:  # another database may have known it
        streams[source] = Streams(settings.table_specs()[source].table, frozenset())
    try:
        keys = [lease.key for lease in await leases.all()] if await leases.exists() else []
    except CoordinationUnavailable as error:
        raise CoordinationUnavailable(
            str(error), remedy="nothing was dropped: try again when the lease table can be read"
        ) from error
    own = leases_of(source, keys, deployment=database.deployment, streams=streams)
    return Forgettable(await forgetting.record_of(source), own)


async def forget(
    settings: Settings,
    database: Database,
    leases: DynamoDBLeases,
    source: str,
    *,
    who: str,
    why: str | None,
) -> Forgettable:
    """Drop the leases, then everything else in one transaction; returns the dropped facts.

    Leases first: a lease that outlived the position would look like a lost database.
    Errors as those of `look`; when a lease could not be dropped, positions are as they were.
    """
    known = await look(settings, database, leases, source)
    try:
        for key in known.leases:
            await leases.delete(key)
    except CoordinationUnavailable as error:
        raise CoordinationUnavailable(
            str(error),
            remedy="no position was dropped, and the next worker adds the leases: run `forget` "
            "again when the lease table can be written",
        ) from error
    return Forgettable(await Forgetting(database).forget(source, who=who, why=why), known.leases)


def leases_of(
    source: str, keys: Iterable[str], *, deployment: str, streams: Mapping[str, Streams]
) -> tuple[str, ...]:
    """The lease keys of a table, former streams included. Pure.

    Told by the ARN of the DynamoDB table, or by the name where no ARN is on record; never one of
    another table.
    """
    own = streams[source]
    others = {
        arn for name, other in streams.items() if name != source for arn in _table_arns(other)
    }
    arns = _table_arns(own) - others
    found = []
    for key in keys:
        arn = _table_arn(key.removeprefix(f"{deployment}:"))
        named = not _table_arns(own) and arn.endswith(f":table/{own.source_table}")
        if arn in arns or (named and arn not in others):
            found.append(key)
    return tuple(sorted(found))


def _table_arns(streams: Streams) -> set[str]:
    arns = {_table_arn(arn) for arn in streams.stream_arns}
    return arns | {streams.source_table} if streams.source_table.startswith("arn:") else arns


def _table_arn(stream_arn: str) -> str:
    return stream_arn.partition("/stream/")[0]


@asynccontextmanager
async def lease_table(settings: Settings) -> AsyncIterator[DynamoDBLeases]:
    """The deployment's lease table, for a person and not for a worker."""
    async with AsyncExitStack() as stack:
        clients = Clients(stack, unobserved)
        place = source_connection(settings.coordination_source())
        yield DynamoDBLeases(
            await clients.tables(place),
            unobserved,
            table=settings.coordination.table,
            deployment=settings.deployment,
            worker_id="by hand",
        )
