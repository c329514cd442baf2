"""A table remembers the mappings that it had before the registered one."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0023_in_0_1"
down_revision = "0022_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
