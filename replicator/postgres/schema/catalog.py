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
-- everything about each asked table, and each leaf of a partitioned one, that decides whether rows
-- can be written; one round trip
with asked as (
    select c.oid, t.schema_name, t.table_name
      from unnest($1::text[], $2::text[]) as t(schema_name, table_name)
      join pg_namespace s on s.nspname = t.schema_name
      join pg_class c on c.relnamespace = s.oid and c.relname = t.table_name),
wanted as (
    select oid, schema_name, table_name, false as leaf from asked
     union all
    select p.relid, a.schema_name, a.table_name, true
      from asked as a
     cross join pg_partition_tree(a.oid) as p
     where p.isleaf and p.relid <> a.oid),
foreign_keys as materialized (  -- no index of the catalog leads from a table to those into it
    select * from pg_constraint where contype = 'f'),
published as (
    select t.schemaname, t.tablename
      from pg_publication_tables as t
      join pg_publication as p on p.pubname = t.pubname
     where p.pubupdate or p.pubdelete)
select w.schema_name,
       w.table_name,
       w.leaf,
       json_build_object(
           'name', s.nspname || '.' || c.relname,
           'sql', quote_ident(s.nspname) || '.' || quote_ident(c.relname),
           'kind', c.relkind,
           'unlogged', c.relpersistence <> 'p',
           'rules', (
               select coalesce(json_agg(quote_ident(r.rulename) order by r.rulename), '[]')
                 from pg_rewrite r
                where r.ev_class = c.oid and r.rulename <> '_RETURN'),
           'heirs', (
               select coalesce(json_agg(h.inhrelid::regclass::text order by 1), '[]')
                 from (select inhrelid from pg_inherits
                        where inhparent = c.oid and c.relkind = 'r') as h),
           'lacks_partitions', (
               select coalesce(json_agg(json_build_object(
                          'table', k.relname,
                          'schema', n.nspname) order by k.relname), '[]')
                 from pg_partitioned_table p
                 join pg_class k on k.oid = p.partrelid
                 join pg_namespace n on n.oid = k.relnamespace
                where p.partstrat <> 'h' and p.partdefid = 0 and c.relkind = 'p'
                  and p.partrelid in (select relid from pg_partition_tree(c.oid))),
           'lacks_identity', c.relkind = 'r' and c.relreplident <> 'f'
               and not exists (
                   select from pg_index i
                    where i.indrelid = c.oid and i.indisvalid
                      and (c.relreplident = 'd' and i.indisprimary
                           or c.relreplident = 'i' and i.indisreplident))
               and exists (
                   select from published as p
                     join pg_namespace n on n.nspname = p.schemaname
                     join pg_class k on k.relnamespace = n.oid and k.relname = p.tablename
                    where k.oid = c.oid
                       or k.oid in (select relid from pg_partition_ancestors(c.oid) as a(relid))),
           'filtered_by', (
               -- columns of publications' row filters, which there are since 15
               select coalesce(json_agg(distinct f.attname order by f.attname), '[]')
                 from pg_publication_rel r
                 join pg_publication p on p.oid = r.prpubid and (p.pubupdate or p.pubdelete)
                cross join lateral regexp_matches(
                          to_jsonb(r) ->> 'prqual', ':varattno (\d+)', 'g') as v(attnum)
                 join pg_attribute f
                   on f.attrelid = r.prrelid and f.attnum = v.attnum[1]::smallint
                where c.relkind = 'r' and c.relreplident <> 'f'
                  and (r.prrelid = c.oid
                       or r.prrelid in (
                           select relid from pg_partition_ancestors(c.oid) as a(relid)))
                  and not exists (
                      select from pg_index i
                        join pg_attribute k on k.attrelid = c.oid and k.attnum = any(i.indkey)
                       where i.indrelid = c.oid and k.attname = f.attname
                         and (c.relreplident = 'd' and i.indisprimary
                              or c.relreplident = 'i' and i.indisreplident))),
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
                          'not_null', a.attnotnull or d.not_null,
                          'has_default', a.atthasdef or d.has_default,
                          'domain', d.name,
                          'unique_by_default', coalesce(
                              pg_get_expr(e.adbin, e.adrelid)
                              ~ '(gen_random_uuid|uuid_generate_v[14]|uuidv[47])\(', false),
                          'sequence', (
                              select json_build_object(
                                         'sql', format('%I.%I', n.nspname, q.relname),
                                         'usable', a.attidentity <> ''
                                             or has_sequence_privilege(o.role, q.oid, 'USAGE')
                                             or has_sequence_privilege(o.role, q.oid, 'UPDATE'),
                                         'endless', abs(g.ends) > 1000000000000,
                                         'cycles', p.seqcycle,
                                         'left', case
                                             when has_sequence_privilege(q.oid, 'USAGE')
                                               or has_sequence_privilege(q.oid, 'SELECT')
                                             then greatest(0, (g.ends - coalesce(
                                                       pg_sequence_last_value(q.oid)::numeric,
                                                       p.seqstart - p.seqincrement))
                                                  / p.seqincrement)::bigint end)
                                from pg_depend as u
                                join pg_class q
                                  on q.relkind = 'S'
                                 and q.oid = case when u.classid = 'pg_attrdef'::regclass
                                                  then u.refobjid else u.objid end
                                join pg_namespace n on n.oid = q.relnamespace
                                join pg_sequence p on p.seqrelid = q.oid
                               cross join lateral (
                                   -- where it, or a narrower column, has no more values
                                   select case when p.seqincrement > 0
                                               then least(p.seqmax, t.widest)
                                               else greatest(p.seqmin, -t.widest) end as ends
                                     from (select case a.atttypid
                                                  when 'int2'::regtype then 32767
                                                  when 'int4'::regtype then 2147483647
                                                  else 9223372036854775807 end as widest) as t
                                   ) as g
                               where (u.classid = 'pg_attrdef'::regclass and u.objid = e.oid
                                      and u.refclassid = 'pg_class'::regclass)
                                  or (u.classid = 'pg_class'::regclass and u.deptype = 'i'
                                      and u.refclassid = 'pg_class'::regclass
                                      and (u.refobjid, u.refobjsubid) = (c.oid, a.attnum))
                               limit 1),
                          'generated', a.attgenerated,
                          'identity', a.attidentity,
                          'deterministic', coalesce(l.collisdeterministic, true),
                          'rights', (
                              select coalesce(json_agg(r), '[]')
                                from unnest(array['SELECT', 'INSERT', 'UPDATE']) as r
                               where has_column_privilege(o.role, c.oid, a.attnum, r))
                      ) order by a.attnum), '[]')
                 from pg_attribute a
                 left join pg_collation l on l.oid = a.attcollation
                 left join pg_attrdef e on (e.adrelid, e.adnum) = (c.oid, a.attnum)
                cross join lateral (
                    -- a domain, and the domains that it is made of, have constraints of their own
                    with recursive made_of as (
                        select t.* from pg_type t where t.oid = a.atttypid
                         union all
                        select t.* from made_of m
                          join pg_type t on m.typtype = 'd' and t.oid = m.typbasetype)
                    select coalesce(bool_or(typtype = 'd' and typnotnull), false) as not_null,
                           coalesce(bool_or(typtype = 'd' and typdefault is not null), false)
                               as has_default,
                           min(case when typtype = 'd' and typnotnull
                                    then oid::regtype::text end) as name
                      from made_of) as d
                cross join lateral (
                    -- what a domain is made of; types of others with their schema
                    with recursive made_of(step, oid, typmod) as (
                        select 1, a.atttypid, a.atttypmod
                        union all
                        select m.step + 1, d.typbasetype, d.typtypmod
                          from made_of m
                         -- `offset 0`: each by its index, not by a join with all types
                         cross join lateral (
                             select t.typbasetype, t.typtypmod from pg_type t
                              where t.oid = m.oid and t.typtype = 'd' offset 0) as d)
                    select case when s.nspname = 'pg_catalog' then format_type(m.oid, m.typmod)
                                else quote_ident(s.nspname) || '.' || quote_ident(e.typname)
                                     || coalesce(substring(format_type(m.oid, m.typmod)
                                                           from '\([0-9,]+\)'), '')
                                     || case when e.oid <> m.oid then '[]' else '' end
                           end as written,
                           e.typtype = 'e' as enum
                      from (select * from made_of order by step desc limit 1) as m
                      join pg_type o on o.oid = m.oid
                      join pg_type e on e.oid = case when o.typcategory = 'A' and o.typelem <> 0
                                                     then o.typelem else o.oid end
                      join pg_namespace s on s.oid = e.typnamespace) as b
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
           'indexes', (
               select coalesce(json_agg(json_build_object(
                          'name', k.relname,
                          'primary', i.indisprimary,
                          'whole', i.indpred is null and i.indexprs is null,
                          'usable', i.indisvalid and i.indimmediate and not i.indisexclusion,
                          'sql', quote_ident(s.nspname) || '.' || quote_ident(k.relname),
                          'constraint', (
                              select quote_ident(n.conname) from pg_constraint n
                               where n.conindid = k.oid and n.conrelid = c.oid
                                 and n.contype in ('p', 'u')),
                          'inherited', exists (
                              select from pg_inherits h where h.inhrelid = k.oid),
                          'exact', (
                              select bool_and(coalesce(l.collisdeterministic, true)
                                              and (p.opcdefault or p.opcname ~ '_pattern_ops$'))
                                from generate_series(0, i.indnkeyatts - 1) as n
                                join pg_opclass p on p.oid = i.indclass[n]
                                left join pg_collation l on l.oid = i.indcollation[n]),
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
                          'sql', quote_ident(n.conname),
                          'table', n.conrelid::regclass::text,
                          'inherited', n.coninhcount > 0 or n.conparentid <> 0,
                          'definition', pg_get_constraintdef(n.oid)
                      ) order by n.conname), '[]')
                 from (select e.* from pg_constraint e
                        where e.conrelid = c.oid and e.contype in ('f', 'c', 'x')
                        union all
                       select f.* from foreign_keys f
                        where f.confrelid = c.oid and f.conrelid <> c.oid) as n
                -- since 18 a constraint may be there and not be enforced
                where coalesce((to_jsonb(n) ->> 'conenforced')::boolean, true)),
           'triggers', (
               select coalesce(json_agg(json_build_object(
                          'name', g.tgname,
                          'sql', quote_ident(g.tgname),
                          'inherited', g.tgparentid <> 0,
                          'before_row', (g.tgtype & 1) <> 0 and (g.tgtype & 66) <> 0
                      ) order by g.tgname), '[]')
                 from pg_trigger g
                where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled in ('O', 'A'))
       )::text as facts
  from wanted as w
 cross join (select coalesce($3, current_user)::name as role) as o
  join pg_class c on c.oid = w.oid
  join pg_namespace s on s.oid = c.relnamespace
 order by w.leaf, c.relname
"""

SCHEMAS = """
-- which of the asked schemas exist, and what the role may do there
select n.nspname,
       has_schema_privilege(coalesce($2, current_user)::name, n.oid, 'USAGE') as usage,
       has_schema_privilege(n.oid, 'CREATE') as may_create
  from pg_namespace n
 where n.nspname = any($1::text[])
"""


class Sequence(msgspec.Struct, frozen=True):
    """A sequence that fills a column. `usable`: the role may take values from it.

    `left` is how many values it still has, None if that may not be seen; `endless`: more than
    upserts will ever take.
    """

    sql: str
    usable: bool
    endless: bool
    cycles: bool
    left: int | None


class ExistingColumn(msgspec.Struct, frozen=True):
    """A column. `deterministic` tells of the collation; `identity` is '' or a kind of it.

    `base` is what a domain is made of, and else the type; `enum`: it is an enum type.
    `generated` is '', 's' (stored) or 'v' (virtual). `domain` names the one that forbids NULL.
    `unique_by_default`: the default is another UUID every time.
    """

    name: str
    type: str
    base: str
    enum: bool
    not_null: bool
    has_default: bool
    domain: str | None
    unique_by_default: bool
    sequence: Sequence | None
    generated: str
    identity: str
    deterministic: bool
    rights: tuple[Right, ...]

    @property
    def fills_itself(self) -> bool:
        """True when a row that does not mention the column gets a value, or NULL, all the same."""
        return not self.not_null or self.has_default or self.identity != ""

    @property
    def fills_uniquely(self) -> bool:
        """True when a row that does not mention the column gets a value that no other row has."""
        counts = self.sequence is not None and not self.sequence.cycles
        return counts or self.unique_by_default


class UniqueIndex(msgspec.Struct, frozen=True):
    """An index that refuses rows. `whole`: over columns only, and over all rows.

    `usable`: valid and checked at once, as `on conflict` needs it. `exact`: only equal values are
    equal to it, whatever the collations and operator classes. `constraint` names the constraint
    that it belongs to; `inherited`: it is a part of a partitioned table's.
    """

    name: str
    sql: str
    constraint: str | None
    inherited: bool
    primary: bool
    whole: bool
    usable: bool
    exact: bool
    columns: tuple[str, ...]


class Constraint(msgspec.Struct, frozen=True):
    """A foreign key ("f"; `incoming`: another table's), check ("c") or exclusion ("x").

    `table` is where it stands, `inherited`: it comes from the partitioned table.
    """

    name: str
    sql: str
    table: str
    inherited: bool
    type: Literal["f", "c", "x"]
    incoming: bool
    definition: str


class Trigger(msgspec.Struct, frozen=True):
    """An enabled trigger. `before_row`: the trigger can change or drop rows being written."""

    name: str
    sql: str
    inherited: bool
    before_row: bool


class Partitioned(msgspec.Struct, frozen=True):
    """A partitioned table, or a partition that is one."""

    schema: str
    table: str


class ExistingTable(msgspec.Struct, frozen=True):
    """A relation under a target's name, a table or not. `row_security`: active for our role.

    `sql` is the quoted name. `heirs` are tables that inherit from the relation. `lacks_partitions`:
    the parts of the relation, at any level, without a partition for every row. `lacks_identity`:
    the relation is published, and PostgreSQL would refuse updates and deletes. `filtered_by`:
    columns by which a publication filters rows, and which are not in the replica identity.
    `leaves` are the partitions that hold the rows.
    """

    name: str
    sql: str
    kind: str
    unlogged: bool
    rules: tuple[str, ...]
    heirs: tuple[str, ...]
    lacks_partitions: tuple[Partitioned, ...]
    lacks_identity: bool
    filtered_by: tuple[str, ...]
    row_security: bool
    rights: tuple[Right, ...]
    owner: bool
    columns: tuple[ExistingColumn, ...]
    indexes: tuple[UniqueIndex, ...]
    constraints: tuple[Constraint, ...]
    triggers: tuple[Trigger, ...]
    leaves: tuple["ExistingTable", ...] = ()

    def column(self, name: str) -> ExistingColumn | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)


class ExistingSchema(msgspec.Struct, frozen=True):
    """A schema, and the rights of our role there."""

    usage: bool
    create: bool


class Catalog(msgspec.Struct, frozen=True):
    """Tables and schemas that were asked for; an absent one does not exist.

    `may_create_schemas`: the role may make schemas in the database. `role` is who is connected.
    """

    tables: Mapping[TableName, ExistingTable]
    schemas: Mapping[str, ExistingSchema]
    may_create_schemas: bool
    read_only: bool
    server_version: int
    """The server's version as `server_version_num`: 150004 is 15.4."""
    role: str = ""
    database: str = ""
    encoding: str = "UTF8"
    limited: bool = True
    """True where the session has the time limit that was asked for: no pooler has left the limit
    out."""


_decode = msgspec.json.Decoder(ExistingTable).decode


async def read_catalog(
    connection: asyncpg.Connection,
    tables: Iterable[TableName],
    *,
    schemas: Iterable[str] = (),
    role: str | None = None,
) -> Catalog:
    """Read what exists under the given names, and of the schemas and `schemas`; three round trips.

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
        " current_user::text as role, current_database()::text as database,"
        " current_setting('server_encoding') as encoding,"
        " current_setting('statement_timeout') <> '0' as limited"
    )
    return Catalog(
        _with_leaves(found),
        {
            row["nspname"]: ExistingSchema(row["usage"], row["may_create"])
            for row in await connection.fetch(SCHEMAS, asked, role)
        },
        server["may_create"],
        server["read_only"],
        server["version"],
        server["role"],
        server["database"],
        server["encoding"],
        server["limited"],
    )


def _with_leaves(found: Iterable[asyncpg.Record]) -> dict[TableName, ExistingTable]:
    tables: dict[TableName, ExistingTable] = {}
    leaves: dict[TableName, list[ExistingTable]] = {}
    for row in found:
        name = row["schema_name"], row["table_name"]
        if row["leaf"]:
            leaves.setdefault(name, []).append(_decode(row["facts"]))
        else:
            tables[name] = _decode(row["facts"])
    for name, of_table in leaves.items():
        tables[name] = msgspec.structs.replace(tables[name], leaves=tuple(of_table))
    return tables
