"""Control schema, target tables and registrations are brought to what the configuration says."""

from replicator.app.compile_mappings import refuse_unfit_streams, require_tables
from replicator.config.connection_parameters import migrate_connection, target_connection
from replicator.config.settings import Settings
from replicator.postgres.schema.migrate import Migrated, migrate


async def migrate_tables(settings: Settings, *, forwards_only: bool) -> Migrated:
    """Migrate everything that is configured; `forwards_only`: refuse an older mapping."""
    tables = await require_tables(settings)
    refuse_unfit_streams(tables)
    return await migrate(
        migrate_connection(settings.target),
        settings.target.control_schema,
        settings.deployment,
        [table.mapping for table in tables],
        runner=target_connection(settings.target),
        forwards_only=forwards_only,
    )
