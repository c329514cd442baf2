"""Freshness knows of snapshots, and of what nobody knows yet."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0009_in_0_1"
down_revision = "0008_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
