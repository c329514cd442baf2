"""A row's version says whether the order of its last two changes was proved."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0039_in_0_1"
down_revision = "0038_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
