"""Whether whoever migrates may create what is missing: the rights that lack, with grants. Pure."""

from collections.abc import Iterable

from replicator.core.findings import Finding
from replicator.postgres.catalog import Catalog, TableName
from replicator.postgres.quoting import quote_identifier


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
