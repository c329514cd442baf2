"""Shards that are not done are found without those that are."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0033_in_0_1"
down_revision = "0032_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
