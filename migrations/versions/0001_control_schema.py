"""The control schema."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0001_in_0_1"
down_revision = None


def upgrade() -> None:
    """Create it."""
    execute_file(__file__)
