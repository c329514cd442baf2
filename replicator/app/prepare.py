"""Prepares a deployment for its worker: tables described, mappings compiled, database checked."""

from collections.abc import Sequence
from dataclasses import dataclass

from replicator.app.clients import Clients
from replicator.config.connections import source_connection
from replicator.config.settings import Settings
from replicator.core.mapping.auto_columns import with_auto_columns
from replicator.core.mapping.compile import TableMapping, compile_table
from replicator.errors import (
    ConfigurationError,
    MigrationDue,
    SchemaMismatch,
    StreamUnfit,
    StreamVanished,
)
from replicator.postgres.connection.database import Database
from replicator.postgres.schema.auto_columns import known_columns
from replicator.postgres.schema.survey import Survey, survey
from replicator.sources.tables import describe_table, require_fit_stream, require_new_images


@dataclass(frozen=True, slots=True)
class Prepared:
    """Tables that can run, and why the others cannot."""

    mappings: tuple[TableMapping, ...]
    unfit: dict[str, StreamUnfit | StreamVanished | SchemaMismatch]


async def describe_all(settings: Settings, clients: Clients, database: Database) -> Prepared:
    """Compile the mapping of every table that exists; one that does not stops no other.

    ConfigurationError for a mapping that cannot be; SourceUnavailable when DynamoDB is away;
    SinkUnavailable when PostgreSQL is, and columns appear by themselves.
    """
    mappings: list[TableMapping] = []
    unfit: dict[str, StreamUnfit | StreamVanished | SchemaMismatch] = {}
    for name, spec in settings.table_specs().items():
        client = await clients.tables(source_connection(settings.source_of(name)))
        try:
            description = await describe_table(client, spec.table)
            if spec.poller == "daemon":
                require_fit_stream(description)
            elif description.stream_enabled:
                require_new_images(description.name, description.view_type)
        except (StreamUnfit, StreamVanished) as error:
            unfit[name] = error
            continue
        if any(target.auto for target in spec.targets):
            async with database.connection("reading the columns that appeared") as connection:
                known = await known_columns(
                    connection, database.control_schema, database.deployment, name
                )
            spec = with_auto_columns(spec, known)  # noqa: PLW2901 (the same table, as it is now)
        mappings.append(compile_table(spec, description.key, table_arn=description.table_arn))
    return _some(Prepared(tuple(mappings), unfit))


async def fit_ones(database: Database, settings: Settings, described: Prepared) -> Prepared:
    """Without the tables that `check` has an error about; errors as below."""
    found = await refuse_if_due(database, settings, described.mappings)
    misfits = {
        source: SchemaMismatch(
            f"{finding.where}: {finding.message}", remedy=f"{finding.remedy}; restart the workers"
        )
        for source, finding in found.unfit.items()
    }
    fit = [mapping for mapping in described.mappings if mapping.spec.name not in misfits]
    return _some(Prepared(tuple(fit), {**described.unfit, **misfits}))


def _some(prepared: Prepared) -> Prepared:
    """ConfigurationError where nothing is left to work on."""
    if not prepared.mappings:
        first = next(iter(prepared.unfit.values()))
        raise ConfigurationError(str(first), remedy=first.remedy) from first
    return prepared


async def refuse_if_due(
    database: Database, settings: Settings, mappings: Sequence[TableMapping]
) -> Survey:
    """MigrationDue, with every reason, unless `migrate` has done all that these mappings need."""
    async with database.connection("looking at the target") as connection:
        found = await survey(
            connection,
            settings.target.control_schema,
            settings.deployment,
            mappings,
        )
    for conflict in found.conflicts:
        raise conflict
    if found.due:
        message = "the database is not ready: " + "; ".join(found.due)
        raise MigrationDue(
            message, remedy="look at `replicator plan`, then run `replicator migrate`"
        )
    return found


async def require_fit(database: Database, mappings: Sequence[TableMapping]) -> None:
    """ConfigurationError where `check` has an error about a target of these; SinkUnavailable."""
    async with database.connection("looking at the target") as connection:
        found = await survey(connection, database.control_schema, database.deployment, mappings)
    refuse_unfit(found)


def refuse_unfit(found: Survey) -> None:
    """Refuse tables that must not be written, from a survey that was made already."""
    for finding in found.unfit.values():
        raise ConfigurationError(f"{finding.where}: {finding.message}", remedy=finding.remedy)
