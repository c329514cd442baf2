"""A claim has a number that is never used twice."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0018_in_0_1"
down_revision = "0017_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
