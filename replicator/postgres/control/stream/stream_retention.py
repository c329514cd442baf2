"""Retention of each stream, on record as the source told it last."""

from datetime import timedelta

from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.generations import LOCK_TABLE
from replicator.postgres.control.stream.raise_epochs import raise_epochs

KEPT = """
select from {schema}.generation
 where deployment = $1 and source = $2 and stream_arn = $3 and retention is not distinct from $4
"""

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
            told = (deployment, source, stream_arn, retention)
            if await connection.fetchrow(control.sql(KEPT), *told) is not None:
                return
            await connection.execute(control.sql(LOCK_TABLE), deployment, source)
            if await connection.fetchval(control.sql(KEEP), *told) is not None:
                await raise_epochs(connection, control, deployment, source)
