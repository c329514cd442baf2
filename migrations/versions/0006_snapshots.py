"""Snapshots and their parts."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0006_in_0_1"
down_revision = "0005_in_0_1"


def upgrade() -> None:
    """Create them."""
    execute_file(__file__)
