"""Prepares a deployment for the worker: tables described, mappings compiled, database checked."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replicator.app.aws_client_cache import Clients
from replicator.config.connection_parameters import source_connection
from replicator.config.settings import Settings
from replicator.core.mapping.auto_columns import with_auto_columns
from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.table_spec import TableSpec
from replicator.engine.task_groups import one_failure
from replicator.errors import (
    ConfigurationError,
    Disposition,
    MigrationDue,
    ReplicatorError,
    SourceUnavailable,
    StreamUnfit,
    StreamVanished,
)
from replicator.postgres.connection.database import Database
from replicator.postgres.schema.add_auto_columns import known_columns
from replicator.postgres.schema.database_survey import Survey, mismatch, survey
from replicator.postgres.schema.server_fitness import require_fit_server
from replicator.sources.dynamodb.describe_table import (
    TableDescription,
    describe_table,
    require_fit_stream,
)
from replicator.sources.dynamodb.view_type import require_new_images

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

DESCRIBE_SECONDS_MAX = 10.0
"""Seconds that the other tables wait for a source that does not answer."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Tables that can run, and why the others cannot: an unfit table, or a source that is away."""

    mappings: tuple[TableMapping, ...]
    left_out: dict[str, ReplicatorError]


async def describe_all(
    settings: Settings,
    clients: Clients,
    database: Database,
    *,
    names: Collection[str] | None = None,
) -> Prepared:
    """Compile the mapping of every table that exists and can be seen; no table waits for another.

    `names`: of the given tables alone. ConfigurationError for a mapping that cannot be;
    SinkUnavailable when PostgreSQL is away, and columns appear by themselves.
    """
    specs = {
        name: spec
        for name, spec in settings.table_specs().items()
        if names is None or name in names
    }
    described: dict[str, TableDescription | ReplicatorError] = {}

    async def describe(name: str, spec: TableSpec, client: "DynamoDBClient") -> None:
        try:
            async with asyncio.timeout(DESCRIBE_SECONDS_MAX):
                described[name] = _fit(await describe_table(client, spec.table), spec)
        except TimeoutError:
            message = f"{name}: the source did not answer in {DESCRIBE_SECONDS_MAX:g} s"
            remedy = "check region and endpoint_url, network and firewall"
            described[name] = SourceUnavailable(message, remedy=remedy)
        except (StreamUnfit, StreamVanished, SourceUnavailable) as error:
            described[name] = error

    async with one_failure() as tasks:
        for name, spec in specs.items():
            try:
                client = await clients.tables(source_connection(settings.source_of(name)))
            except SourceUnavailable as error:
                described[name] = error
            else:
                tasks.create_task(describe(name, spec, client), name=f"describe {name}")
    mappings: list[TableMapping] = []
    left_out: dict[str, ReplicatorError] = {}
    for name, spec in specs.items():
        found = described[name]
        if isinstance(found, ReplicatorError):
            left_out[name] = found
        else:
            whole = await _with_known_columns(spec, database)
            mappings.append(compile_table(whole, found.key, table_arn=found.table_arn))
    return Prepared(tuple(mappings), left_out)


def _fit(description: TableDescription, spec: TableSpec) -> TableDescription:
    """The description of a table with a stream that can be replicated; StreamUnfit."""
    if spec.kinesis is not None:
        return description  # it needs no stream of its own
    if spec.poller == "daemon":
        require_fit_stream(description)
    elif description.stream_enabled:
        require_new_images(description.name, description.view_type)
    return description


async def _with_known_columns(spec: TableSpec, database: Database) -> TableSpec:
    """The specification with the columns that appeared by themselves."""
    if not any(target.auto for target in spec.targets):
        return spec
    async with database.connection("reading the columns that appeared") as connection:
        known = await known_columns(
            connection, database.control_schema, database.deployment, spec.name
        )
    return with_auto_columns(spec, known)


async def fit_ones(database: Database, settings: Settings, described: Prepared) -> Prepared:
    """The prepared tables without those that `check` has an error about; errors as below."""
    found = await refuse_if_due(database, settings, described.mappings)
    misfits = {source: mismatch(finding) for source, finding in found.unfit.items()}
    fit = [mapping for mapping in described.mappings if mapping.spec.name not in misfits]
    return Prepared(tuple(fit), {**described.left_out, **misfits})


def require_some(prepared: Prepared) -> Prepared:
    """The tables to work on; with none, the reason: ConfigurationError, or a source is away."""
    if prepared.mappings:
        return prepared
    for error in prepared.left_out.values():
        if error.disposition is not Disposition.HALT:
            raise error
    first = next(iter(prepared.left_out.values()))
    raise ConfigurationError(str(first), remedy=first.remedy) from first


async def refuse_if_due(
    database: Database, settings: Settings, mappings: Sequence[TableMapping]
) -> Survey:
    """MigrationDue, with every reason, unless `migrate` has done all that the given mappings
    need."""
    async with database.transaction("reading the target") as connection:
        found = await survey(
            connection,
            settings.target.control_schema,
            settings.deployment,
            mappings,
        )
    require_fit_server(found.catalog)
    for error in (*found.conflicts, *found.outdated):
        raise error
    if found.due:
        message = "the database is not ready: " + "; ".join(found.due)
        raise MigrationDue(message, remedy="see `replicator plan`, then run `replicator migrate`")
    return found
