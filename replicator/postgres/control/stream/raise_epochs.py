"""Raises the epochs of shards and segments, which ends every claim, and the writes of its owner."""

from replicator.postgres.connection.control_schema_names import ControlSchema
from replicator.postgres.connection.database import Session

RAISE_EPOCHS = """
update {schema}.shard
   set epoch = epoch + 1, owner = null
 where deployment = $1 and source = $2 and state in ('waiting', 'active')
"""

RAISE_SEGMENT_EPOCHS = """
-- pages of a snapshot that were read before are not written any more either
update {schema}.segment
   set epoch = epoch + 1, owner = null
 where deployment = $1 and source = $2 and state in ('waiting', 'active')
"""


async def raise_epochs(
    connection: Session, control: ControlSchema, deployment: str, source: str
) -> None:
    """End every claim of a table's shards and of the segments of its snapshots."""
    for text in (RAISE_EPOCHS, RAISE_SEGMENT_EPOCHS):
        await connection.execute(control.sql(text), deployment, source)
