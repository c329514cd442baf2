"""Types that are not PostgreSQL's own, as the targets name them: which there are, what is wrong."""

from collections.abc import Iterable, Iterator, Mapping

import asyncpg
import msgspec

from replicator.core.check_findings import Finding
from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.table_spec import ColumnSpec
from replicator.core.values.column_types import ENUM, ColumnType
from replicator.postgres.connection.sql_quoting import quote_identifier, quote_literal, quote_table

TypeName = tuple[str, str]
"""Schema and type, unquoted."""

NAMED_TYPES = """
-- each asked type, and where else there is one of its name
select a.schema_name,
       a.type_name,
       json_build_object(
           'kind', (select t.typtype from pg_type t join pg_namespace n on n.oid = t.typnamespace
                     where (n.nspname, t.typname) = (a.schema_name, a.type_name)),
           'labels', (
               select coalesce(json_agg(l.enumlabel order by l.enumsortorder), '[]')
                 from pg_enum l
                 join pg_type t on t.oid = l.enumtypid
                 join pg_namespace n on n.oid = t.typnamespace
                where (n.nspname, t.typname) = (a.schema_name, a.type_name)),
           'elsewhere', (
               select coalesce(json_agg(n.nspname order by n.nspname), '[]')
                 from pg_type t join pg_namespace n on n.oid = t.typnamespace
                where t.typname = a.type_name and n.nspname <> a.schema_name),
           'alike', (
               select coalesce(json_agg(quote_ident(t.typname) order by t.typname), '[]')
                 from pg_type t join pg_namespace n on n.oid = t.typnamespace
                where n.nspname = a.schema_name and t.typtype = 'e'
                  and lower(t.typname) = lower(a.type_name) and t.typname <> a.type_name)
       )::text as facts
  from unnest($1::text[], $2::text[]) as a(schema_name, type_name)
"""


class NamedType(msgspec.Struct, frozen=True):
    """A type under an asked name: `kind` None where there is none, "e" for an enum type.

    `elsewhere` are other schemas that have a type of that name; `alike` are enum types of the
    schema, quoted, whose names differ in capitals only.
    """

    kind: str | None
    labels: tuple[str, ...]
    elsewhere: tuple[str, ...]
    alike: tuple[str, ...]


_decode = msgspec.json.Decoder(NamedType).decode
_KINDS = {"b": "a base type", "c": "a composite type", "d": "a domain", "r": "a range"}


async def read_named_types(
    connection: asyncpg.Connection, targets: Iterable[TargetMapping]
) -> Mapping[TypeName, NamedType]:
    """Look up every type of the targets that is not PostgreSQL's own."""
    asked = sorted(
        {
            (column.type.schema, column.type.name)
            for target in targets
            for table in target.row_tables
            for column in table.columns
            if column.type.schema is not None
        }
    )
    if not asked:
        return {}
    schemas, names = [schema for schema, _ in asked], [name for _, name in asked]
    rows = await connection.fetch(NAMED_TYPES, schemas, names)
    return {(row["schema_name"], row["type_name"]): _decode(row["facts"]) for row in rows}


def type_findings(
    targets: Iterable[TargetMapping], known: Mapping[TypeName, NamedType]
) -> Iterator[Finding]:
    """Types that are missing or of another kind, and labels that an enum type lacks."""
    for target in targets:
        for table in target.row_tables:
            for column in table.columns:
                if column.type.schema is not None:
                    found = known[column.type.schema, column.type.name]
                    fault = _fault(column.type, found)
                    if fault is not None:
                        message, remedy = fault
                        named = f"the type {column.type.label} of the column {column.name!r}"
                        yield Finding("error", table.qualified, f"{named} {message}", remedy)
        for spec in target.spec.columns or ():
            yield from _labels(target.name, spec, known)


def _fault(column_type: ColumnType, found: NamedType) -> tuple[str, str] | None:
    schema, name, extension = column_type.schema or "", column_type.name, column_type.row.extension
    if column_type.row is ENUM:
        if found.kind == "e":
            return None
        if found.kind == "d":
            remedy = "declare what the domain is made of, such as text or numeric(12,2)"
            return "is a domain, not an enum type", remedy
        if found.kind is not None:
            kind = _KINDS.get(found.kind, "of another kind")
            return f"is {kind}, not an enum type", "declare one of the types of docs/mapping.md"
        create = f"create type {quote_table(schema, name)} as enum (…)"
    else:
        if found.kind is not None:
            return None
        create = f"create extension {quote_identifier(extension or name)} with schema " + (
            quote_identifier(schema)
        )
    if found.alike:
        written = f"{quote_identifier(schema)}.{found.alike[0]}"
        return "does not exist", f"write '{written}': a name without double quotes has no capitals"
    if found.elsewhere:
        return "does not exist", f"write {found.elsewhere[0]}.{name}: it is in that schema"
    return "does not exist", f"{create}, or correct its name"


def _labels(where: str, spec: ColumnSpec, known: Mapping[TypeName, NamedType]) -> Iterator[Finding]:
    """A value of the configuration that PostgreSQL would refuse in every row."""
    if spec.type.row is not ENUM or spec.type.array:
        return
    found = known[spec.type.schema or "", spec.type.name]
    for what, value in (("constant", spec.constant), ("default", spec.default)):
        if value is not None and found.kind == "e" and value not in found.labels:
            message = f"the {what} of the column {spec.name!r} is no label of {spec.type.label}"
            name = quote_table(spec.type.schema or "", spec.type.name)
            remedy = f"write one of {', '.join(found.labels)}, or alter type {name} add value " + (
                quote_literal(str(value))
            )
            yield Finding("error", where, message, remedy)
