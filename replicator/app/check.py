"""`check`: everything that keeps a configuration from working, found in one run."""

import os

from replicator.app.administration.status import read_status
from replicator.app.compile_mappings import CompiledTable, compile_tables
from replicator.aws.source_connection import is_aws
from replicator.config.connection_parameters import (
    export_connection,
    migrate_connection,
    source_connection,
    target_connection,
)
from replicator.config.settings import Settings
from replicator.core.check_findings import Finding, finding_of
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.status.table_verdict import (
    ONE_DEPLOYMENT_EACH,
    WORKED_ON_ELSEWHERE,
    worked_on,
)
from replicator.errors import ReplicatorError
from replicator.postgres.connection.connect import ConnectionSettings, address_of
from replicator.postgres.connection.error_translation import POOLER_REMEDY
from replicator.postgres.connection.server_addresses import Address
from replicator.postgres.schema.database_survey import Survey
from replicator.postgres.schema.migrate import look
from replicator.postgres.schema.server_fitness import server_fitness
from replicator.sources.check_source_and_lease_tables import (
    check_coordination,
    check_recovery,
    lambda_readers,
)


async def check(settings: Settings) -> list[Finding]:
    """Read sources, streams, leases, target and control schema; change nothing."""
    tables = await compile_tables(settings)
    mappings = [table.mapping for table in tables if table.mapping is not None]
    return [
        *(finding for table in tables for finding in table.findings),
        *await _coordination(settings, tables),
        *await _lambdas(settings, tables),
        *await _exports(settings, tables),
        *await _target(settings, mappings),
    ]


async def _coordination(settings: Settings, tables: list[CompiledTable]) -> list[Finding]:
    streams = {
        table.description.stream_arn: table.name
        for table in tables
        if table.description is not None and table.description.stream_arn is not None
    }
    return await check_coordination(
        settings.coordination.table,
        source_connection(settings.coordination_source()),
        settings.deployment,
        streams,
    )


async def _lambdas(settings: Settings, tables: list[CompiledTable]) -> list[Finding]:
    found: list[Finding] = []
    for table in tables:
        place = source_connection(settings.source_of(table.name))
        stream_arn = table.description.stream_arn if table.description is not None else None
        if stream_arn is None or not is_aws(place, os.environ):
            continue
        functions = await lambda_readers(stream_arn, place)
        if functions:
            names = ", ".join(functions)
            found.append(
                Finding(
                    "warning",
                    f"table {table.name}",
                    f"its stream is read by AWS Lambda too ({names}); "
                    "AWS allows 2 readers of a shard at a time",
                    "remove the event source mappings that are not needed, or expect throttling",
                )
            )
    return found


async def _exports(settings: Settings, tables: list[CompiledTable]) -> list[Finding]:
    """Findings about tables that are to be loaded or healed from exports."""
    found: list[Finding] = []
    for table in tables:
        own = settings.tables[table.name]
        if table.description is None or "export" not in (own.initial_load, own.on_gap):
            continue
        place = export_connection(settings, table.name)
        found += await check_recovery(
            table.name, table.description.name, table.description.size_bytes, place
        )
    return found


async def _target(settings: Settings, mappings: list[TableMapping]) -> list[Finding]:
    runner = target_connection(settings.target)
    try:
        address = address_of(runner)
        survey = await look(runner, settings.target.control_schema, settings.deployment, mappings)
    except ReplicatorError as error:
        return [finding_of("target", error)]
    return [
        *_transport(address),
        *_server(survey, runner.pooler),
        *_control_schema(settings, survey),
        *(finding_of("target", conflict) for conflict in survey.conflicts),
        *survey.findings,
        *await _others(settings, survey),
        *await _migrator(settings, runner, survey, mappings),
    ]


async def _others(settings: Settings, survey: Survey) -> list[Finding]:
    """Tables of the deployment on which workers with another configuration work."""
    if survey.control_sql or survey.control_rights_lacking:
        return []
    try:
        status = await read_status(settings)
    except ReplicatorError as error:
        return [finding_of("target", error)]
    return [
        Finding("warning", f"table {table.source}", WORKED_ON_ELSEWHERE, ONE_DEPLOYMENT_EACH)
        for table in status.tables
        if table.configured == "not configured" and worked_on(table)
    ]


async def _migrator(
    settings: Settings, runner: ConnectionSettings, mine: Survey, mappings: list[TableMapping]
) -> list[Finding]:
    """Findings about the role that migrates: reaching the database, rights to create what is
    missing.
    """
    migrator = migrate_connection(settings.target)
    if migrator == runner:
        return [*mine.creation]
    schema = settings.target.control_schema
    try:
        survey = await look(migrator, schema, settings.deployment, mappings, runner=runner)
    except ReplicatorError as error:
        return [finding_of("target (migrate_dsn)", error)]
    return [*survey.creation]


def _transport(address: Address) -> list[Finding]:
    if address.local or address.sslmode in {"verify-ca", "verify-full"}:
        return []
    if address.sslmode in {"disable", "allow", "prefer"}:
        return [
            Finding(
                "warning",
                "target",
                f"sslmode={address.sslmode} lets passwords and data cross the network in the clear",
                "use sslmode=verify-full with sslrootcert",
            )
        ]
    if address.sslrootcert:
        return []
    return [
        Finding(
            "warning",
            "target",
            "the connection is encrypted, but the server's certificate is not verified",
            "add sslmode=verify-full and sslrootcert to target.dsn (or PGSSLMODE, PGSSLROOTCERT)",
        )
    ]


def _server(survey: Survey, pooler: str) -> list[Finding]:
    found: list[Finding] = []
    if survey.catalog.read_only:
        found.append(
            Finding(
                "error",
                "target",
                "the server is a read-only standby, or the role's transactions are read-only",
                "connect to the primary",
            )
        )
    if pooler == "none" and not survey.catalog.limited:
        found.append(
            Finding(
                "error",
                "target",
                "a pooler stands between this process and PostgreSQL: the session lacks the "
                "limits that it began with",
                POOLER_REMEDY,
            )
        )
    return [*found, *server_fitness(survey.catalog)]


def _control_schema(settings: Settings, survey: Survey) -> list[Finding]:
    schema = settings.target.control_schema
    found = [
        Finding("warning", "migrate is due", reason, "run `replicator migrate`")
        for reason in survey.due
    ]
    if survey.control_rights_lacking and not survey.control_sql:
        found.append(
            Finding(
                "error",
                f"control schema {schema}",
                "the role may not read and write all of its tables",
                "run `replicator migrate` with a target.migrate_dsn that may grant the rights",
            )
        )
    return found
