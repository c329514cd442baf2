"""Freshness knows of tables that AWS Lambda writes."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0012_in_0_1"
down_revision = "0011_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
