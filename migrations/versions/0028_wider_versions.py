"""Versions of rows and dead letters have room for 60 digits, as positions have."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0028_in_0_1"
down_revision = "0027_in_0_1"


def upgrade() -> None:
    """Widen them."""
    execute_file(__file__)
