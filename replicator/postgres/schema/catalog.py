"""Tables, columns and constraints under the names of the targets, from PostgreSQL's catalog."""

from collections.abc import Iterable, Mapping
from typing import Literal

import asyncpg
import msgspec

TableName = tuple[str, str]
"""Schema and table, unquoted."""
Right = Literal["SELECT", "INSERT", "UPDATE", "DELETE"]
TABLE_KINDS = {"r": "table", "p": "partitioned table"}
OTHER_KINDS = {
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "S": "sequence",
    "c": "composite type",
    "i": "index",
    "I": "partitioned index",
}

TABLES = r"""
-- everything about each asked table that decides whether rows can be written; one round trip
select t.schema_name,
       t.table_name,
       json_build_object(
           'kind', c.relkind,
           'unlogged', c.relpersistence <> 'p',
           'rules', c.relhasrules,
           'row_security', row_security_active(c.oid),
           'rights', (
               select coalesce(json_agg(r), '[]')
                 from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as r
                where has_table_privilege(o.role, c.oid, r)),
           'owner', pg_has_role(c.relowner, 'usage'),
           'columns', (
               select coalesce(json_agg(json_build_object(
                          'name', a.attname,
                          'type', format_type(a.atttypid, a.atttypmod),
                          'base', b.written,
                          'enum', b.enum,
                          'not_null', a.attnotnull,
                          'has_default', a.atthasdef,
                          'generated', a.attgenerated <> '',
                          'identity', a.attidentity,
                          'deterministic', coalesce(l.collisdeterministic, true),
                          'rights', (
                              select coalesce(json_agg(r), '[]')
                                from unnest(array['SELECT', 'INSERT', 'UPDATE']) as r
                               where has_column_privilege(o.role, c.oid, a.attnum, r))
                      ) order by a.attnum), '[]')
                 from pg_attribute a
                 left join pg_collation l on l.oid = a.attcollation
                cross join lateral (
                    -- what a domain is made of; types of others with their schema
                    with recursive made_of(step, oid, typmod) as (
                        select 1, a.atttypid, a.atttypmod
                        union all
                        select m.step + 1, d.typbasetype, d.typtypmod
                          from made_of m join pg_type d on d.oid = m.oid and d.typtype = 'd')
                    select case when s.nspname = 'pg_catalog' then format_type(m.oid, m.typmod)
                                else quote_ident(s.nspname) || '.' || quote_ident(e.typname)
                                     || coalesce(substring(format_type(m.oid, m.typmod)
                                                           from '\([0-9,]+\)'), '')
                                     || case when e.oid <> m.oid then '[]' else '' end
                           end as written,
                           e.typtype = 'e' as enum
                      from made_of m
                      join pg_type o on o.oid = m.oid
                      join pg_type e on e.oid = case when o.typcategory = 'A' and o.typelem <> 0
                                                     then o.typelem else o.oid end
                      join pg_namespace s on s.oid = e.typnamespace
                     order by m.step desc
                     limit 1) as b
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
           'indexes', (
               select coalesce(json_agg(json_build_object(
                          'name', k.relname,
                          'primary', i.indisprimary,
                          'whole', i.indpred is null and i.indexprs is null,
                          'usable', i.indisvalid and i.indimmediate,
                          'columns', (
                              select coalesce(json_agg(a.attname order by n), '[]')
                                from generate_series(0, i.indnkeyatts - 1) as n
                                join pg_attribute a
                                  on a.attrelid = c.oid and a.attnum = i.indkey[n])
                      ) order by k.relname), '[]')
                 from pg_index i
                 join pg_class k on k.oid = i.indexrelid
                where i.indrelid = c.oid and i.indisunique),
           'constraints', (
               select coalesce(json_agg(json_build_object(
                          'name', n.conname,
                          'type', n.contype,
                          'incoming', n.conrelid <> c.oid,
                          'definition', pg_get_constraintdef(n.oid)
                      ) order by n.conname), '[]')
                 from pg_constraint n
                where (n.conrelid = c.oid and n.contype in ('f', 'c', 'x'))
                   or (n.confrelid = c.oid and n.contype = 'f' and n.conrelid <> c.oid)),
           'triggers', (
               select coalesce(json_agg(json_build_object(
                          'name', g.tgname,
                          'before_row', (g.tgtype & 1) <> 0 and (g.tgtype & 66) <> 0
                      ) order by g.tgname), '[]')
                 from pg_trigger g
                where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled in ('O', 'A'))
       )::text as facts
  from unnest($1::text[], $2::text[]) as t(schema_name, table_name)
 cross join (select coalesce($3, current_user)::name as role) as o
  join pg_namespace s on s.nspname = t.schema_name
  join pg_class c on c.relnamespace = s.oid and c.relname = t.table_name
"""

SCHEMAS = """
-- which of the asked schemas exist, and what the role may do there
select n.nspname,
       has_schema_privilege(coalesce($2, current_user)::name, n.oid, 'USAGE') as usage,
       has_schema_privilege(n.oid, 'CREATE') as may_create
  from pg_namespace n
 where n.nspname = any($1::text[])
"""


class ExistingColumn(msgspec.Struct, frozen=True):
    """A column. `deterministic` tells of its collation; `identity` is '' or a kind of it.

    `base` is what a domain is made of, and else the type; `enum`: it is an enum type.
    """

    name: str
    type: str
    base: str
    enum: bool
    not_null: bool
    has_default: bool
    generated: bool
    identity: str
    deterministic: bool
    rights: tuple[Right, ...]

    @property
    def fills_itself(self) -> bool:
        """A row that does not mention it gets a value, or NULL, all the same."""
        return not self.not_null or self.has_default or self.identity != ""


class UniqueIndex(msgspec.Struct, frozen=True):
    """An index that refuses rows. `whole`: over columns only, and over all rows.

    `usable`: valid and checked at once, as `on conflict` needs it.
    """

    name: str
    primary: bool
    whole: bool
    usable: bool
    columns: tuple[str, ...]


class Constraint(msgspec.Struct, frozen=True):
    """A foreign key ("f"; `incoming`: another table's), check ("c") or exclusion ("x")."""

    name: str
    type: Literal["f", "c", "x"]
    incoming: bool
    definition: str


class Trigger(msgspec.Struct, frozen=True):
    """An enabled trigger. `before_row`: it can change or drop the rows that are written."""

    name: str
    before_row: bool


class ExistingTable(msgspec.Struct, frozen=True):
    """A relation under a target's name, a table or not. `row_security`: active for our role."""

    kind: str
    unlogged: bool
    rules: bool
    row_security: bool
    rights: tuple[Right, ...]
    owner: bool
    columns: tuple[ExistingColumn, ...]
    indexes: tuple[UniqueIndex, ...]
    constraints: tuple[Constraint, ...]
    triggers: tuple[Trigger, ...]

    def column(self, name: str) -> ExistingColumn | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)


class ExistingSchema(msgspec.Struct, frozen=True):
    """A schema and what our role may do in it."""

    usage: bool
    create: bool


class Catalog(msgspec.Struct, frozen=True):
    """Tables and schemas that were asked for; an absent one does not exist.

    `may_create_schemas`: the role may make schemas in this database. `role` is who is connected.
    """

    tables: Mapping[TableName, ExistingTable]
    schemas: Mapping[str, ExistingSchema]
    may_create_schemas: bool
    read_only: bool
    server_version: int
    """As `server_version_num`: 150004 is 15.4."""
    role: str = ""
    database: str = ""


_decode = msgspec.json.Decoder(ExistingTable).decode


async def read_catalog(
    connection: asyncpg.Connection,
    tables: Iterable[TableName],
    *,
    schemas: Iterable[str] = (),
    role: str | None = None,
) -> Catalog:
    """Read what exists under these names, and of their schemas and `schemas`; three round trips.

    Rights to write are those of `role` (None: whoever is connected), which must exist; rights to
    create are those of whoever is connected.
    """
    names = sorted(set(tables))
    found = await connection.fetch(
        TABLES, [schema for schema, _ in names], [name for _, name in names], role
    )
    asked = sorted({*schemas, *(schema for schema, _ in names)})
    [server] = await connection.fetch(
        "select has_database_privilege(current_database(), 'CREATE') as may_create,"
        " pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean"
        " as read_only,"
        " current_setting('server_version_num')::integer as version,"
        " current_user::text as role, current_database()::text as database"
    )
    return Catalog(
        {(row["schema_name"], row["table_name"]): _decode(row["facts"]) for row in found},
        {
            row["nspname"]: ExistingSchema(row["usage"], row["may_create"])
            for row in await connection.fetch(SCHEMAS, asked, role)
        },
        server["may_create"],
        server["read_only"],
        server["version"],
        server["role"],
        server["database"],
    )
