"""A worker has one heartbeat for all its leases, and hears that others want some of them."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0030_in_0_1"
down_revision = "0029_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
