"""Dead letters of histories, which no later change supersedes."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0002_in_0_1"
down_revision = "0001_in_0_1"


def upgrade() -> None:
    """Tell them apart."""
    execute_file(__file__)
