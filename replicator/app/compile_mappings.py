"""Compiles the mappings of a configuration against the described source tables."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from replicator.config.connection_parameters import table_connection, target_connection
from replicator.config.settings import Settings
from replicator.core.check_findings import Finding, finding_of
from replicator.core.mapping.auto_columns import with_auto_columns
from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.table_spec import TableSpec
from replicator.errors import ConfigurationError, ReplicatorError, SourceUnavailable, StreamUnfit
from replicator.postgres.schema.add_auto_columns import known_columns
from replicator.postgres.schema.migrate import opened, reading
from replicator.sources.check_source_and_lease_tables import SourceTable, check_sources
from replicator.sources.dynamodb.describe_table import TableDescription
from replicator.sources.dynamodb.view_type import require_new_images


@dataclass(frozen=True, slots=True)
class CompiledTable:
    """A table of the configuration; `mapping` None: not compiled because of a mistake.

    `description` None: the table could not be read.
    """

    name: str
    description: TableDescription | None
    mapping: TableMapping | None
    findings: tuple[Finding, ...]


async def compile_tables(
    settings: Settings, names: Collection[str] | None = None
) -> list[CompiledTable]:
    """Read every table, or those of the given names, and compile its mapping.

    What is wrong is a finding.
    """
    specs = {
        name: spec
        for name, spec in settings.table_specs().items()
        if names is None or name in names
    }
    tables = [
        SourceTable(name, spec.table, table_connection(settings, name), spec.kinesis)
        for name, spec in specs.items()
    ]
    checked = await check_sources(tables)
    found: list[CompiledTable] = []
    for name, spec in specs.items():
        source = checked[name]
        mapping = None
        findings = source.findings
        if source.description is not None:
            try:
                whole = await _with_auto_columns(settings, spec)
                mapping = compile_table(
                    whole, source.description.key, table_arn=source.description.table_arn
                )
            except ReplicatorError as error:
                findings = (*findings, finding_of(f"table {name}", error))
        found.append(CompiledTable(name, source.description, mapping, findings))
    return found


async def _with_auto_columns(settings: Settings, spec: TableSpec) -> TableSpec:
    """With the columns that appeared; SinkUnavailable when PostgreSQL does not answer."""
    if not any(target.auto for target in spec.targets):
        return spec
    async with (
        opened(target_connection(settings.target)) as connection,
        reading(connection, "reading the columns that appeared"),
    ):
        known = await known_columns(
            connection, settings.target.control_schema, settings.deployment, spec.name
        )
    return with_auto_columns(spec, known)


@dataclass(frozen=True, slots=True)
class RequiredTable:
    """A table that was checked, and the mapping."""

    mapping: TableMapping
    description: TableDescription


async def require_mappings(settings: Settings) -> list[TableMapping]:
    """The mappings of all tables; as `require_tables`."""
    return [table.mapping for table in await require_tables(settings)]


def refuse_unfit_streams(tables: Iterable[RequiredTable]) -> None:
    """ConfigurationError for a stream without new images; one that is off may come later."""
    for table in tables:
        try:
            if table.description.stream_enabled and table.mapping.spec.kinesis is None:
                require_new_images(table.description.name, table.description.view_type)
        except StreamUnfit as error:
            message = f"table {table.mapping.spec.name}: {error}"
            raise ConfigurationError(message, remedy=error.remedy) from error


async def require_tables(
    settings: Settings, names: Collection[str] | None = None
) -> list[RequiredTable]:
    """All tables, or those of the given names.

    SourceUnavailable when some table could not be read, ConfigurationError when one is
    missing or the mapping wrong; a stream that is off is no reason, nothing is read here.
    """
    compiled = await compile_tables(settings, names)
    lacking = [finding for table in compiled if table.mapping is None for finding in table.findings]
    if not lacking:
        return [
            RequiredTable(table.mapping, table.description)
            for table in compiled
            if table.mapping is not None and table.description is not None
        ]
    message = "\n  ".join(f"{finding.where}: {finding.message}" for finding in lacking)
    remedy = "\n  ".join(dict.fromkeys(finding.remedy for finding in lacking))
    if any(finding.unreachable for finding in lacking):
        raise SourceUnavailable(message, remedy=remedy)
    raise ConfigurationError(message, remedy=remedy)
