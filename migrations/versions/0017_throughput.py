"""Workers say how much they handle."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0017_in_0_1"
down_revision = "0016_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
