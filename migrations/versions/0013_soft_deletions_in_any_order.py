"""Soft deletions and the changes before them may come in any order."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0013_in_0_1"
down_revision = "0012_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
