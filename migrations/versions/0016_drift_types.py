"""Drift knows the types of attributes."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0016_in_0_1"
down_revision = "0015_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
