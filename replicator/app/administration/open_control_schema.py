"""Opens the control schema for commands that read or change by hand."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from difflib import get_close_matches

from replicator.config.connection_parameters import target_connection
from replicator.config.settings import Settings
from replicator.core.stream.table_and_shard_facts import TableFacts
from replicator.errors import ConfigurationError, SchemaMismatch, SinkBusy
from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from replicator.postgres.schema.control_revisions import require_control_schema


@asynccontextmanager
async def control_database(settings: Settings) -> AsyncIterator[Database]:
    """The database with the control schema there, closed at the end.

    SinkUnavailable when PostgreSQL is away; MigrationDue when the control schema is missing or
    too old; SinkBusy when another session held a lock for too long.
    """
    database = Database(
        target_connection(settings.target),
        deployment=settings.deployment,
        control_schema=settings.target.control_schema,
        pool_size=1,
    )
    try:
        await require_control_schema(database)
        yield database
    except SchemaMismatch as error:
        message = f"the control schema {database.control_schema!r} does not do: {error}"
        remedy = "run `replicator migrate`, as a role that may use and change that schema"
        raise ConfigurationError(message, remedy=remedy) from error
    except SinkBusy as error:
        remedy = "nothing of this step was done: see pg_stat_activity, then try again"
        raise SinkBusy(str(error), remedy=remedy) from error
    finally:
        await database.close()


async def registered_tables(database: Database) -> dict[str, TableFacts]:
    """Every table that the control schema knows."""
    return await ShardStore(database).tables()


def require_known(name: str, settings: Settings, registered: Mapping[str, TableFacts]) -> None:
    """ConfigurationError for a name that neither the configuration nor the control schema has."""
    names = {*settings.tables, *registered}
    if name not in names:
        message = f"there is no table {name!r}, neither in the configuration nor on record"
        raise ConfigurationError(message, remedy=_nearest(name, names))


def require_registered(
    name: str, settings: Settings, registered: Mapping[str, TableFacts]
) -> TableFacts:
    """The facts of a registered table; ConfigurationError with MigrationDue's advice otherwise."""
    require_known(name, settings, registered)
    if name not in registered:
        message = f"table {name!r} is in the configuration, but not registered yet"
        raise ConfigurationError(message, remedy="run `replicator migrate` first")
    return registered[name]


def _nearest(name: str, names: Iterable[str]) -> str:
    known = sorted(names)
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
