"""Columns that appeared with the attributes."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0011_in_0_1"
down_revision = "0010_in_0_1"


def upgrade() -> None:
    """Keep which."""
    execute_file(__file__)
