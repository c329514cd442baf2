"""A shard has a load, and a worker that of its shards."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0037_in_0_1"
down_revision = "0036_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
