"""Writes a revision as SQL; `replicator.postgres.schema.control_revisions` executes it."""

from alembic import context

context.configure(
    dialect_name="postgresql",
    dialect_opts={"paramstyle": "named"},  # else every % would be doubled
    literal_binds=True,
    transactional_ddl=False,  # whoever executes it begins and commits, all revisions at once
    version_table_schema=context.config.attributes["control_schema"],
)
context.run_migrations()
