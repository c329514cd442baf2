"""A table remembers since when it is stopped; `freshness` shows the lag that `status` shows."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0026_in_0_1"
down_revision = "0025_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
