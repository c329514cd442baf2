"""A stream says for how long it keeps its records."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0032_in_0_1"
down_revision = "0031_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
