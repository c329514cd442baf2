"""Versions of rows: what the row guard compares."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0004_in_0_1"
down_revision = "0003_in_0_1"


def upgrade() -> None:
    """Add them."""
    execute_file(__file__)
