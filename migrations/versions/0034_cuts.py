"""A gap knows through which time each shard of it was applied."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0034_in_0_1"
down_revision = "0033_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
