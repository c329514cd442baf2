"""A claim knows how many rows its table held before."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0021_in_0_1"
down_revision = "0020_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
