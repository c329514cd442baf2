"""Workers say what they have to show for their work."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0020_in_0_1"
down_revision = "0019_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
