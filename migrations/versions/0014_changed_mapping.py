"""Tables know since when their mapping is what it is."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0014_in_0_1"
down_revision = "0013_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
