"""What AWS Lambda needs to know of a table."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0007_in_0_1"
down_revision = "0006_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
