"""Keeps for how long a stream holds its records, as the stream itself said last."""

from datetime import timedelta

from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.raise_epochs import raise_epochs

KEEP = """
-- Whoever claimed a shard before believes in the older retention: the epochs are raised.
update {schema}.generation
   set retention = $4
 where deployment = $1 and source = $2 and stream_arn = $3 and retention is distinct from $4
returning 1
"""


class StreamRetention:
    """Retention of the streams of one deployment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, source: str, stream_arn: str, retention: timedelta) -> None:
        """Note the retention of a stream; from the COMMIT on no claim believes in another one."""
        control, deployment = self._database.control, self._database.deployment
        async with self._database.transaction("noting a retention") as connection:
            changed = await connection.fetchval(
                control.sql(KEEP), deployment, source, stream_arn, retention
            )
            if changed is not None:
                await raise_epochs(connection, control, deployment, source)
