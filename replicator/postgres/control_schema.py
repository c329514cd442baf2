"""Whether the control schema is there, and is this user's to look into."""

from replicator.errors import ConfigurationError, MigrationDue
from replicator.postgres.database import Database

FOUND = """
-- asked of the catalog, which everybody may read
select has_schema_privilege(n.oid, 'USAGE') as usable, current_user as role
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1 and c.relname = 'table_state'
"""


async def require_control_schema(database: Database) -> None:
    """MigrationDue when it was never created, ConfigurationError when this role may not use it."""
    async with database.connection("looking for the control schema") as connection:
        found = await connection.fetchrow(FOUND, database.control_schema)
    if found is None:
        message = f"this database has no control schema {database.control_schema!r} yet"
        raise MigrationDue(message, remedy="run `replicator migrate`")
    if not found["usable"]:
        message = f"the role {found['role']!r} may not use the schema {database.control_schema!r}"
        raise ConfigurationError(message, remedy="grant it, or connect with the role that runs")
