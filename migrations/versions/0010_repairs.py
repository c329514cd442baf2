"""A snapshot of a few keys, which verify makes by itself."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0010_in_0_1"
down_revision = "0009_in_0_1"


def upgrade() -> None:
    """Allow it."""
    execute_file(__file__)
