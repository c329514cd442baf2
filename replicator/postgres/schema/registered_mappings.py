"""Registers the mappings of tables in the control schema, and claims their targets."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from replicator.core.mapping.compile_mapping import TableMapping, TargetMapping
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.table_spec import Poller
from replicator.errors import ConfigurationError, MigrationDue
from replicator.postgres.connection.control_schema_names import ControlSchema
from replicator.postgres.control.snapshot.snapshots import ask_within
from replicator.postgres.control.stream.ordering_mode_switch import hand_over
from replicator.postgres.control.stream.raise_epochs import raise_epochs
from replicator.postgres.schema.catalog import TableName

REGISTERED = """
-- where it was not noted, a stream tells its table; a control schema may be older than this column
select source, source_table, mapping_fingerprint, mode, initial_load = 'snapshot' as whole,
       coalesce(to_jsonb(t) ->> 'table_arn', nullif(split_part(stream_arn, '/stream/', 1), ''))
           as table_arn,
       array(select jsonb_array_elements_text(to_jsonb(t) -> 'older_mappings')) as older_mappings
  from {schema}.table_state as t
 where deployment = $1
"""

ONE_ENTRY = (
    "a table is read once in a deployment: write one entry with several targets below `into`, each "
    "with a `when`"
)

CLAIMED = """
-- works before the control schema is brought up to date, too
select target_schema, target_table, deployment, source, fingerprint,
       (to_jsonb(c) ->> 'rows_found')::bigint as rows_found
  from {schema}.target_claim c
"""

OTHER_CONTROL_SCHEMAS = """
-- other replicas in this database, as far as we may read them
select n.nspname
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where c.relname = 'target_claim'
   and c.relkind = 'r'
   and n.nspname <> $1
   and has_schema_privilege(n.oid, 'USAGE')
   and has_table_privilege(c.oid, 'SELECT')
   and 3 = (select count(*) from pg_attribute a
             where a.attrelid = c.oid and not a.attisdropped
               and a.attname in ('target_schema', 'target_table', 'deployment'))
"""

CLAIMED_THERE = """
select target_schema, target_table, deployment from {schema}.target_claim
 where (target_schema, target_table) in (select * from unnest($1::text[], $2::text[]))
"""

LET_GO = """
-- a target that the mapping no longer names may be another's
delete from {schema}.target_claim
 where deployment = $1
   and source = $2
   and (target_schema, target_table) not in (select * from unnest($3::text[], $4::text[]))
"""

REGISTER = """
-- how it is loaded is asked only while nothing of it was ever read
insert into {schema}.table_state as t
       (deployment, source, source_table, mapping_fingerprint, initial_load, mode, source_key,
        table_arn)
values ($1, $2, $3, $4, $5, $6, $7, $9)
    on conflict (deployment, source) do update
   set source_table = excluded.source_table,
       table_arn = coalesce(excluded.table_arn, t.table_arn),
       source_key = excluded.source_key,
       older_mappings = case when t.mapping_fingerprint <> excluded.mapping_fingerprint
           then array_append(array_remove(t.older_mappings, excluded.mapping_fingerprint),
                             t.mapping_fingerprint)
           else t.older_mappings end,
       mapping_fingerprint = excluded.mapping_fingerprint,
       mapping_revision = t.mapping_revision
           + (t.mapping_fingerprint <> excluded.mapping_fingerprint)::integer,
       initial_load = case
           when t.start_at is not null
             or exists (select from {schema}.shard s
                         where (s.deployment, s.source) = (t.deployment, t.source)
                           and s.last_sequence_number is not null)
           then t.initial_load
           else excluded.initial_load end,
       mapping_xid = case when $8
                          then pg_current_xact_id()::text::bigint else t.mapping_xid end,
       changed_at = case when t.mapping_fingerprint <> excluded.mapping_fingerprint
                         then now() else t.changed_at end
"""

CLAIM_TARGET = """
insert into {schema}.target_claim as c
       (target_schema, target_table, deployment, source, fingerprint, rows_found)
values ($1, $2, $3, $4, $5, $6)
    on conflict (target_schema, target_table) do update set fingerprint = excluded.fingerprint
 where (c.deployment, c.source) = (excluded.deployment, excluded.source)
returning 1
"""


@dataclass(frozen=True, slots=True)
class TargetClaim:
    """The deployment and source that own a target, and the mapping it was last registered under."""

    deployment: str
    source: str
    fingerprint: str
    rows_found: int = 0
    """Number of rows at the first claim."""

    def makes_rows_of(self, target: TargetMapping) -> bool:
        """True when rows written under the claim are those that the target makes now.

        What an earlier version called the same mapping asks for no rows to be made again.
        """
        return self.fingerprint in {target.fingerprint, target.former_fingerprint}


@dataclass(frozen=True, slots=True)
class Registered:
    """A table's last registration."""

    source_table: str
    fingerprint: str
    poller: Poller
    whole: bool
    """True when the table began with a snapshot, so that the targets hold every item."""
    table_arn: str | None
    """The DynamoDB table, as far as it is described."""
    older_mappings: tuple[str, ...] = ()
    """Fingerprints of earlier registrations."""


@dataclass(frozen=True, slots=True)
class Registry:
    """Registrations in the control schema; `elsewhere` are targets claimed from other schemas."""

    tables: dict[str, Registered]
    claims: dict[TableName, TargetClaim]
    elsewhere: dict[TableName, tuple[str, str]]
    """Control schema and deployment that claim a target."""


async def read_registry(
    connection: asyncpg.Connection, schema: str, deployment: str, targets: Iterable[TableName]
) -> Registry:
    """The tables of a deployment, all claims, and other schemas' claims of the given targets."""
    control = ControlSchema(schema)
    tables = await connection.fetch(control.sql(REGISTERED), deployment)
    claims = await connection.fetch(control.sql(CLAIMED))
    return Registry(
        {
            row["source"]: Registered(
                row["source_table"],
                row["mapping_fingerprint"],
                OrderingMode.of(row["mode"]).poller,
                row["whole"] is True,
                row["table_arn"],
                tuple(row["older_mappings"]),
            )
            for row in tables
        },
        {
            (row["target_schema"], row["target_table"]): TargetClaim(
                row["deployment"], row["source"], row["fingerprint"], row["rows_found"] or 0
            )
            for row in claims
        },
        await claimed_elsewhere(connection, schema, targets),
    )


async def claimed_elsewhere(
    connection: asyncpg.Connection, schema: str, targets: Iterable[TableName]
) -> dict[TableName, tuple[str, str]]:
    """Targets that other control schemas of the database claim."""
    names = sorted(set(targets))
    found: dict[TableName, tuple[str, str]] = {}
    for row in await connection.fetch(OTHER_CONTROL_SCHEMAS, schema):
        claims = await connection.fetch(
            ControlSchema(row["nspname"]).sql(CLAIMED_THERE),
            [name[0] for name in names],
            [name[1] for name in names],
        )
        for claim in claims:
            target = (claim["target_schema"], claim["target_table"])
            found[target] = (row["nspname"], claim["deployment"])
    return found


def conflicts(
    registry: Registry, deployment: str, mappings: Sequence[TableMapping]
) -> list[ConfigurationError]:
    """Every reason why the given mappings may not be registered; a claim that is let go is none."""
    named = {(mapping.spec.name, name) for mapping in mappings for name in target_names(mapping)}
    sources = {mapping.spec.name for mapping in mappings}
    found: list[ConfigurationError] = []
    for mapping in mappings:
        known = registry.tables.get(mapping.spec.name)
        if known is not None and not _same_table(known.source_table, mapping.spec.table):
            found.append(_another_source(mapping, known))
        if (twice := _read_twice(mapping, mappings, registry)) is not None:
            found.append(twice)
        for name in target_names(mapping):
            claim = registry.claims.get(name)
            if name in registry.elsewhere:
                schema, other = registry.elsewhere[name]
                found.append(_claimed(name, f"deployment {other!r} (control schema {schema!r})"))
            elif claim is None or (claim.deployment, claim.source) == (
                deployment,
                mapping.spec.name,
            ):
                continue
            elif claim.deployment != deployment:
                found.append(_claimed(name, f"deployment {claim.deployment!r}", claim.source))
            elif claim.source not in sources or (claim.source, name) in named:
                found.append(_claimed(name, f"table {claim.source!r}", claim.source))
    return found


async def register(
    connection: asyncpg.Connection,
    schema: str,
    deployment: str,
    mappings: Sequence[TableMapping],
    *,
    held: Mapping[TableName, int],
    backfill: bool = True,
) -> list[str]:
    """Record the mappings and claim the targets, in one transaction; return what changed.

    A changed mapping raises the epochs of all the table's shards, so that no worker that still has
    the old one writes any more; `backfill`: and asks for the snapshot that makes the rows again.
    `held`: how many rows targets hold that nobody has claimed.
    ConfigurationError where a target is another's.
    """
    control = ControlSchema(schema)
    async with connection.transaction():
        registry = await read_registry(
            connection, schema, deployment, [n for m in mappings for n in target_names(m)]
        )
        for conflict in conflicts(registry, deployment, mappings):
            raise conflict
        for mapping in mappings:
            names = target_names(mapping)
            await connection.execute(
                control.sql(LET_GO),
                deployment,
                mapping.spec.name,
                [name[0] for name in names],
                [name[1] for name in names],
            )
        return [
            line
            for mapping in mappings
            for line in await _register(
                connection, schema, deployment, mapping, registry, held=held, backfill=backfill
            )
        ]


def outdated(registry: Registry, mappings: Iterable[TableMapping]) -> list[MigrationDue]:
    """An error for each mapping that was registered once and followed by another one since."""
    return [
        MigrationDue(
            f"the registered mapping of table {mapping.spec.name!r} is newer than the one here",
            remedy="update this configuration and start it again; to go back to the older mapping "
            "on purpose, see `replicator plan` and run `replicator migrate`",
        )
        for mapping in mappings
        if (known := registry.tables.get(mapping.spec.name)) is not None
        and mapping.fingerprint in known.older_mappings
    ]


def target_names(mapping: TableMapping) -> list[TableName]:
    """Every table that is written for a mapping, as the catalog names them."""
    return [name for target in mapping.targets for name in target.tables]


async def _register(
    connection: asyncpg.Connection,
    schema: str,
    deployment: str,
    mapping: TableMapping,
    registry: Registry,
    *,
    held: Mapping[TableName, int],
    backfill: bool,
) -> list[str]:
    spec, control = mapping.spec, ControlSchema(schema)
    await connection.execute(
        control.sql(REGISTER),
        deployment,
        spec.name,
        spec.table,
        mapping.fingerprint,
        spec.initial_load,
        OrderingMode.at_first(spec.poller),
        json.dumps(mapping.source_key.attributes),
        bool(_changed_targets(mapping, registry)),
        mapping.table_arn,
    )
    written = [(target, name) for target in mapping.targets for name in target.tables]
    for target, name in written:
        known_claim = registry.claims.get(name)
        claimed = await connection.fetchval(
            control.sql(CLAIM_TARGET),
            *name,
            deployment,
            spec.name,
            target.fingerprint,
            held.get(name, 0) if known_claim is None else known_claim.rows_found,
        )
        if claimed is None:  # somebody was quicker
            raise _claimed(name, "another deployment")
    known = registry.tables.get(spec.name)
    if known is None:
        return [f"registered table {spec.name}"]
    changed: list[str] = []
    if known.poller != spec.poller:
        await hand_over(connection, control, deployment, spec.name, spec.poller)
        changed.append(f"table {spec.name} is handed over to: {spec.poller}")
    if known.fingerprint != mapping.fingerprint:
        await raise_epochs(connection, control, deployment, spec.name)
        if known.whole and backfill:
            await _backfill(connection, control, deployment, mapping, registry)
        back = mapping.fingerprint in known.older_mappings
        what = "an older mapping again" if back else "the changed mapping"
        changed.append(f"registered {what} of table {spec.name}")
    return changed


async def _backfill(
    connection: asyncpg.Connection,
    control: ControlSchema,
    deployment: str,
    mapping: TableMapping,
    registry: Registry,
) -> None:
    """Ask for the snapshot that makes the rows of changed targets as the new mapping does."""
    if changed := _changed_targets(mapping, registry):
        await ask_within(
            connection,
            control,
            deployment,
            mapping.spec.name,
            "mapping",
            who="migrate",
            why=f"new or changed: {', '.join(changed)}",
        )


def _changed_targets(mapping: TableMapping, registry: Registry) -> list[str]:
    """The targets whose rows the changed mapping would make differently."""
    claims = registry.claims
    return [
        target.name
        for target in mapping.targets
        if (claim := claims.get((target.table.schema, target.table.name))) is None
        or not claim.makes_rows_of(target)
    ]


def _same_table(known: str, configured: str) -> bool:
    """True when both mean one DynamoDB table: one may be the ARN that ends in the other's name."""
    if known.startswith("arn:") == configured.startswith("arn:"):
        return known == configured
    return known.rpartition("/")[2] == configured.rpartition("/")[2]


def _read_twice(
    mapping: TableMapping, mappings: Sequence[TableMapping], registry: Registry
) -> ConfigurationError | None:
    """Why an entry may not read the table: another one does, whatever either calls it.

    Leases, shards and positions belong to a stream. Each pair is told once.
    """
    arn, name = mapping.table_arn, mapping.spec.name
    if arn is None:
        return None
    configured = {other.spec.name: other.table_arn for other in mappings}
    twins = [other for other, same in configured.items() if same == arn and other > name]
    if twins:
        message = f"tables {name!r} and {twins[0]!r} are one DynamoDB table, {arn}"
        return ConfigurationError(message, remedy=ONE_ENTRY)
    left = [
        other
        for other, known in registry.tables.items()
        if known.table_arn == arn and other not in configured
    ]
    if left:
        message = f"table {name!r} is {arn}, which is registered as {left[0]!r}"
        return ConfigurationError(
            message,
            remedy=f"call the entry {left[0]!r}, or run `replicator forget --table {left[0]}`",
        )
    return None


def _another_source(mapping: TableMapping, known: Registered) -> ConfigurationError:
    name = mapping.spec.name
    message = (
        f"table {name!r} is the DynamoDB table {mapping.spec.table!r} now, but its positions "
        f"are those of {known.source_table!r}"
    )
    return ConfigurationError(
        message,
        remedy=f"give the new one another name, or run `replicator forget --table {name}`",
    )


def _claimed(name: TableName, owner: str, source: str | None = None) -> ConfigurationError:
    table = f" --table {source}" if source else ""
    return ConfigurationError(
        f"the target {'.'.join(name)} is claimed by {owner}",
        remedy=f"name another target, or release it there with `replicator forget{table}`",
    )
