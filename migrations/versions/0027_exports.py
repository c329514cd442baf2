"""Snapshots that load exports to S3, and when each gap began."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0027_in_0_1"
down_revision = "0026_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
