"""A shard that was made by a merge has two parents."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0031_in_0_1"
down_revision = "0030_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
