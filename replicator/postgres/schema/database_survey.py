"""Surveys a database: tables there, statements due, work that a changed mapping asks for."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg

from replicator.core.check_findings import Finding, errors
from replicator.core.mapping.compile_mapping import TableMapping, TargetMapping
from replicator.core.mapping.target_table import TargetTable
from replicator.errors import ConfigurationError, MigrationDue, SchemaMismatch
from replicator.postgres.connection.sql_quoting import quote_identifier, quote_table
from replicator.postgres.schema.catalog import Catalog, ExistingTable, TableName, read_catalog
from replicator.postgres.schema.control_revisions import (
    current_revision,
    head_revision,
    is_due,
    upgrade_sql,
)
from replicator.postgres.schema.ddl_diff import Statement, statements
from replicator.postgres.schema.named_types import read_named_types, type_findings
from replicator.postgres.schema.registered_mappings import (
    Registered,
    Registry,
    claimed_elsewhere,
    conflicts,
    outdated,
    read_registry,
    target_names,
)
from replicator.postgres.schema.rows_before_first_claim import existing_rows, rows_held
from replicator.postgres.schema.table_fitness import fitness, history_fitness


def creation(
    catalog: Catalog, names: Iterable[TableName], *, control_schema: str | None
) -> list[Finding]:
    """Rights that the connected role lacks for creating the tables of `names` that are missing.

    `control_schema`: where tables of our own are to be made; None: they are there.
    """
    wanted = [schema for schema, table in names if (schema, table) not in catalog.tables]
    if control_schema is not None:
        wanted.append(control_schema)
    role = quote_identifier(catalog.role)
    found: list[Finding] = []
    for schema in dict.fromkeys(wanted):
        existing = catalog.schemas.get(schema)
        if existing is None and not catalog.may_create_schemas:
            where = f"database {catalog.database}"
            message = f"the role {catalog.role!r} may not create the schema {schema!r}"
            grant = f"grant create on database {quote_identifier(catalog.database)} to {role}"
        elif existing is not None and not existing.create:
            where = f"schema {schema}"
            message = f"the role {catalog.role!r} may not create tables in it"
            grant = f"grant usage, create on schema {quote_identifier(schema)} to {role}"
        else:
            continue
        remedy = f"{grant}; or name a role that may do it in target.migrate_dsn"
        found.append(Finding("error", where, message, remedy))
    return found


WRITE_RIGHTS = "select, insert, update, delete"
_WRITE = {"SELECT", "INSERT", "UPDATE", "DELETE"}
CONTROL_RIGHTS_LACKING = """
-- whether the role that runs may not write some table of the control schema
select not has_schema_privilege(o.role, n.oid, 'USAGE')
       or exists (select from pg_class c
                   cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as r
                   where c.relnamespace = n.oid
                     and c.relkind in ('r', 'v')
                     and not has_table_privilege(o.role, c.oid, r))
  from pg_namespace n
 cross join (select coalesce($2::text, current_user)::name as role) as o
 where n.nspname = $1
"""


NO_ROW_ANEW = (
    "its mapping names fewer targets than before, or writes a history or sets records aside "
    "differently from now on: no row is made again"
)


@dataclass(frozen=True, slots=True)
class Need:
    """Need of one table besides SQL. `kind`: "register", "snapshot" or "backfill".

    "ask": a snapshot would bring more than the change, as the table did not begin with one.
    """

    source: str
    kind: str
    what: str
    first: bool = False
    """True: the table was never registered, so that its first load is to come."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The state of the database beside what the mappings want."""

    revision: str | None
    control_sql: str
    """The statements that bring the control schema up to date; "" when it is."""
    statements: tuple[Statement, ...]
    """Target and history tables, columns; none for what is refused."""
    grants: tuple[Statement, ...]
    """Rights for the role that runs, where another one migrates."""
    needs: tuple[Need, ...]
    conflicts: tuple[ConfigurationError, ...]
    outdated: tuple[MigrationDue, ...]
    """Mappings here that are older than the registered ones."""
    findings: tuple[Finding, ...]
    """Findings about the tables that exist, as they are now."""
    lasting: tuple[Finding, ...]
    """Findings that the statements above do not fix either."""
    unfit: Mapping[str, Finding]
    """Tables, by source, that must not be written, with the first error found of them."""
    refused: Mapping[str, Finding]
    """Tables, by source, whose changed mapping is not to be registered, and why: the targets do
    not fit it, and workers go on with the former one."""
    held: Mapping[TableName, int]
    """Number of rows in targets without a claim."""
    types: tuple[Finding, ...]
    """Types that are named and missing, or not what they are taken for; in the findings, too."""
    creation: tuple[Finding, ...]
    """Rights to create what is missing that whoever is connected lacks."""
    control_rights_lacking: bool
    """The role that runs may not write the control schema, which exists."""
    catalog: Catalog

    @property
    def due(self) -> list[str]:
        """Why `migrate` must run before `run`; empty when it need not."""
        reasons = []
        if self.control_sql:
            state = f"is at {self.revision}" if self.revision else "does not exist"
            reasons.append(f"the control schema {state}, this version needs {head_revision()}")
        present = {".".join(name) for name in self.catalog.tables}
        reasons += [
            f"{f'a column of {table}' if table in present else table} is missing"
            for table in dict.fromkeys(statement.table for statement in self.statements)
        ]
        reasons += [f"table {need.source}: {need.what}" for need in self.needs]
        return list(dict.fromkeys(reasons))


async def survey(
    connection: asyncpg.Connection,
    schema: str,
    deployment: str,
    mappings: Sequence[TableMapping],
    *,
    grantee: str | None = None,
) -> Survey:
    """Read everything and change nothing; works before the control schema exists.

    `grantee` is the role that runs where another one is connected here; None: it is the same.
    """
    revision = await current_revision(connection, schema)
    control_sql = upgrade_sql(schema, revision) if is_due(revision, head_revision()) else ""
    targets = [target for mapping in mappings for target in mapping.targets]
    catalog = await read_catalog(connection, _names(targets), schemas=[schema], role=grantee)
    named_types = await read_named_types(connection, targets)
    unfit_types = [*type_findings(targets, named_types)]
    names = [name for mapping in mappings for name in target_names(mapping)]
    if revision is None:
        registry = Registry({}, {}, await claimed_elsewhere(connection, schema, names))
    else:
        registry = await read_registry(connection, schema, deployment, names)
    wanted = statements(targets, catalog)
    unclaimed = [name for name in _row_tables(targets) if name not in registry.claims]
    held = await rows_held(connection, unclaimed, catalog)
    by_source = {
        mapping.spec.name: [
            *type_findings(mapping.targets, named_types),
            *_findings(mapping.targets, catalog, grantee),
            *_from_before(mapping.targets, registry, held),
        ]
        for mapping in mappings
    }
    undecided = _from_before(targets, registry, held)
    refused = _refused(
        mappings,
        registry,
        deployment,
        lambda changed: [
            *_findings(changed, catalog, grantee, but_missing=True),
            *_from_before(changed, registry, held),
        ],
    )
    kept = [t for mapping in mappings if mapping.spec.name not in refused for t in mapping.targets]
    granted = [*dict.fromkeys((*_names(kept), *catalog.tables))]
    lacking = await connection.fetchval(CONTROL_RIGHTS_LACKING, schema, grantee)
    if control_sql and schema not in catalog.schemas:
        control_sql = f"create schema if not exists {quote_identifier(schema)};\n\n{control_sql}"
    return Survey(
        revision,
        control_sql,
        statements(kept, catalog) if refused else wanted,
        _grants(schema, granted, catalog, grantee, control=lacking is not False),
        tuple(need for mapping in mappings for need in _needs(mapping, registry, wanted)),
        tuple(conflicts(registry, deployment, mappings)),
        tuple(outdated(registry, mappings)),
        tuple(finding for found in by_source.values() for finding in found),
        (*unfit_types, *_findings(targets, catalog, grantee, but_missing=True), *undecided),
        {source: first for source, found in by_source.items() for first in errors(found)[:1]},
        refused,
        held,
        tuple(unfit_types),
        tuple(
            creation(catalog, _names(targets), control_schema=schema if revision is None else None)
        ),
        lacking is True,
        catalog,
    )


async def unfit_targets(
    connection: asyncpg.Connection, mappings: Sequence[TableMapping]
) -> dict[str, SchemaMismatch]:
    """By source, the first error of `check` about targets that are registered and should be there.

    Four round trips, whatever the number of tables.
    """
    targets = [target for mapping in mappings for target in mapping.targets]
    catalog = await read_catalog(connection, _names(targets))
    named_types = await read_named_types(connection, targets)
    found = {
        mapping.spec.name: [
            *_missing(mapping.targets, catalog),
            *type_findings(mapping.targets, named_types),
            *_findings(mapping.targets, catalog, None),
        ]
        for mapping in mappings
    }
    return {
        source: mismatch(first)
        for source, findings in found.items()
        for first in errors(findings)[:1]
    }


def mismatch(finding: Finding) -> SchemaMismatch:
    """An error of `check` about a target, as the failure of a writer."""
    return SchemaMismatch(f"{finding.where}: {finding.message}", remedy=finding.remedy)


def _missing(targets: Sequence[TargetMapping], catalog: Catalog) -> Iterator[Finding]:
    for schema, name in _names(targets):
        if (schema, name) not in catalog.tables:
            remedy = "run `replicator migrate`, which creates it, or rename it back"
            yield Finding("error", f"{schema}.{name}", "is missing", remedy)


def _row_tables(targets: Sequence[TargetMapping]) -> list[TableName]:
    """Targets with rows; to a history rows are only added."""
    return [(table.schema, table.name) for target in targets for table in target.row_tables]


def _names(targets: Sequence[TargetMapping]) -> list[TableName]:
    return [name for target in targets for name in target.tables]


def _needs(mapping: TableMapping, registry: Registry, wanted: Sequence[Statement]) -> list[Need]:
    source = mapping.spec.name
    known = registry.tables.get(source)
    if known is None:
        return [Need(source, "register", "it is not registered yet", first=True)]
    if known.poller != mapping.spec.poller:
        what = f"it is polled by the {known.poller}, and to be by the {mapping.spec.poller}"
        return [Need(source, "register", what), *_changes(mapping, known, registry, wanted)]
    return _changes(mapping, known, registry, wanted)


def _changes(
    mapping: TableMapping, known: Registered, registry: Registry, wanted: Sequence[Statement]
) -> list[Need]:
    """Needs of a changed mapping."""
    source = mapping.spec.name
    if known.fingerprint == mapping.fingerprint:
        return []
    altered = {statement.table for statement in wanted}
    found: list[Need] = []
    for target in mapping.targets:
        claim = registry.claims.get((target.table.schema, target.table.name))
        if claim is None:
            what = f"{target.name} is new: only a snapshot brings the items that are there already"
            kind = "snapshot"
        elif claim.makes_rows_of(target):
            continue
        elif target.name in altered:
            what = (
                f"{target.name} gets columns: rows that no change touches hold NULL in them until "
                "a backfill"
            )
            kind = "backfill"
        else:
            what = (
                f"the mapping of {target.name} changed: rows that no change touches keep what the "
                "old one made until a snapshot"
            )
            kind = "snapshot"
        found.append(Need(source, kind if known.whole else "ask", what))
    return found or [Need(source, "register", NO_ROW_ANEW)]


def _refused(
    mappings: Sequence[TableMapping],
    registry: Registry,
    deployment: str,
    lasting: Callable[[Sequence[TargetMapping]], list[Finding]],
) -> dict[str, Finding]:
    """Tables that workers write under the registered mapping, and whose targets do not fit the
    changed one; and tables that take over a target of such a table.

    `lasting`: findings that migrating does not fix. A table that was never registered stops nobody.
    """
    refused = {
        mapping.spec.name: first
        for mapping in mappings
        if (known := registry.tables.get(mapping.spec.name)) is not None
        and known.fingerprint != mapping.fingerprint
        for first in errors(lasting(mapping.targets))[:1]
    }
    before = 0
    while before != len(refused):
        before = len(refused)
        for mapping in mappings:
            for name in target_names(mapping):
                claim = registry.claims.get(name)
                if claim is None or claim.deployment != deployment:
                    continue
                if claim.source != mapping.spec.name and claim.source in refused:
                    refused.setdefault(mapping.spec.name, _still_of(name, claim.source))
    return refused


def _still_of(name: TableName, source: str) -> Finding:
    return Finding(
        "error",
        ".".join(name),
        f"belongs to table {source!r} until its changed mapping is registered",
        f"fix the error of {source!r}, then run `replicator migrate` again",
    )


def _grants(
    schema: str,
    names: Sequence[TableName],
    catalog: Catalog,
    grantee: str | None,
    *,
    control: bool,
) -> tuple[Statement, ...]:
    """Rights for `grantee` on what is ours, or will be; `control`: on the control schema too."""
    if grantee is None:
        return ()
    found: list[Statement] = []
    if control:
        found += _grant(schema, f"all tables in schema {quote_identifier(schema)}", grantee)
    for name in names:
        existing = catalog.tables.get(name)
        usable = name[0] in catalog.schemas and catalog.schemas[name[0]].usage
        rights = () if existing is None else existing.rights
        if (existing is None or existing.owner) and not (usable and {*rights} >= _WRITE):
            found += _grant(name[0], quote_table(*name), grantee)
    return tuple(dict.fromkeys(found))


def _grant(schema: str, what: str, grantee: str) -> list[Statement]:
    role = quote_identifier(grantee)
    lock = "none that a reader or writer waits for"
    return [
        Statement(schema, f"grant usage on schema {quote_identifier(schema)} to {role}", lock),
        Statement(schema, f"grant {WRITE_RIGHTS} on {what} to {role}", lock),
    ]


def _findings(
    targets: Sequence[TargetMapping],
    catalog: Catalog,
    grantee: str | None,
    *,
    but_missing: bool = False,
) -> list[Finding]:
    """Findings about the targets and histories that exist; `but_missing`: columns may be added."""
    role = quote_identifier(grantee or catalog.role)
    found: list[Finding] = []
    for target in targets:
        for written in target.row_tables:
            existing = catalog.tables.get((written.schema, written.name))
            if existing is not None:
                found += _usage(written.schema, catalog, role)
                table = _without_missing(written, existing) if but_missing else written
                found += fitness(table, existing, role=role)
        name = target.history_table
        if name is not None and name in catalog.tables:
            found += history_fitness(name, catalog.tables[name], role=role)
    return found


def _from_before(
    targets: Sequence[TargetMapping], registry: Registry, held: Mapping[TableName, int]
) -> list[Finding]:
    return [found for target in targets for found in existing_rows(target, registry, held)]


def _without_missing(table: TargetTable, existing: ExistingTable) -> TargetTable:
    present = [c for c in table.columns if c.name in table.key or existing.column(c.name)]
    return replace(table, columns=tuple(present))


def _usage(schema: str, catalog: Catalog, role: str) -> list[Finding]:
    if catalog.schemas[schema].usage:
        return []
    grant = f"grant usage on schema {quote_identifier(schema)} to {role}"
    return [Finding("error", f"schema {schema}", f"{role} may not use it", grant)]
