"""A shard's position has room for 60 digits."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0025_in_0_1"
down_revision = "0024_in_0_1"


def upgrade() -> None:
    """Widen it."""
    execute_file(__file__)
