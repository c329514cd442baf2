"""Dead letters that are replayed or discarded by hand."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0005_in_0_1"
down_revision = "0004_in_0_1"


def upgrade() -> None:
    """Keep what a replay needs, and who closed one and why."""
    execute_file(__file__)
