"""A listing says how many calls it took."""

from replicator.postgres.schema.control_revisions import execute_file

revision = "0041_in_0_1"
down_revision = "0040_in_0_1"


def upgrade() -> None:
    """Add it."""
    execute_file(__file__)
