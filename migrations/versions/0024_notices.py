"""Notices of problems remember what of them was delivered."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0024_in_0_1"
down_revision = "0023_in_0_1"


def upgrade() -> None:
    """Add their table."""
    execute_file(__file__)
