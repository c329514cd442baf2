"""What the last comparison of source and target found."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0003_in_0_1"
down_revision = "0002_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
