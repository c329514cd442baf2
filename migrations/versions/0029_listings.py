"""A stream is listed by one worker at a time, and all know when that was."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0029_in_0_1"
down_revision = "0028_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
