"""A table whose changes reach no stream has one gap for that time, accepted or not."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0035_in_0_1"
down_revision = "0034_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
