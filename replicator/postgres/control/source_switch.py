"""Moves a table from one source of the changes to another: a new generation, and a load.

Sequence numbers and creation times do not compare, so nothing that is known of rows' versions says
anything of what the other source brings. One transaction makes the other stream the current one,
closes the shards of the one before, clears the versions of rows, and asks for a load of the whole
table: what changed before the load began is in it, and what changes later is in the new stream.
"""

from datetime import datetime

from replicator.core.stream.source_kind import kind_of
from replicator.postgres.connection.database import Database
from replicator.postgres.control.snapshot.snapshots import ask_within
from replicator.postgres.control.stream.gaps_and_halts import ADD_GAP
from replicator.postgres.control.stream.generations import ADD_GENERATION, make_current
from replicator.postgres.control.stream.raise_epochs import raise_epochs

LOCK_TABLE = """
select stream_arn, initial_load in ('snapshot', 'export') as whole
  from {schema}.table_state
 where deployment = $1 and source = $2
   for update
"""

REST = """
update {schema}.table_state
   set mode = case mode when 'lambda' then mode else $3 end, changed_at = now()
 where deployment = $1 and source = $2
"""

WHO = "configuration"


class SourceSwitch:
    """Switches one deployment's tables to another source of the changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._deployment = database.deployment
        self._control = database.control

    async def move(self, source: str, *, before: str, stream_arn: str, at: datetime) -> str | None:
        """Make a stream of another source the current one; what was done, None where it is current
        already, or another stream than `before` is.

        A table that is not loaded as a whole has a gap on record instead of a load.
        """
        name = (self._deployment, source)
        detail = f"the table is read from {stream_arn} now, and no more from {before}"
        async with self._database.transaction("moving to another stream") as connection:
            table = await connection.fetchrow(self._control.sql(LOCK_TABLE), *name)
            if table is None or table["stream_arn"] != before:
                return None
            await connection.fetchval(self._control.sql(ADD_GENERATION), *name, stream_arn, at)
            await make_current(connection, self._control, *name, stream_arn)
            await connection.execute(
                self._control.sql(REST), *name, kind_of(stream_arn).resting_ordering
            )
            await raise_epochs(connection, self._control, *name)
            if table["whole"]:
                await ask_within(connection, self._control, *name, "mapping", who=WHO, why=detail)
            else:
                lost = f"{detail}: changes made between the two are in neither"
                await connection.fetchval(
                    self._control.sql(ADD_GAP),
                    *(*name, stream_arn, None, "possible", lost, before, None),
                )
        return detail
