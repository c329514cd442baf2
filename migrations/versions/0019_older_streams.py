"""A gap may lead on to a stream that is older by its label."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0019_in_0_1"
down_revision = "0018_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
