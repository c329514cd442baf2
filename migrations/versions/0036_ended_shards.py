"""Shards that ended are counted and paged table by table, without reading them."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0036_in_0_1"
down_revision = "0035_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
