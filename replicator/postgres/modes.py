"""Who keeps the order of a table's changes: fence, row guard or Lambda; switched in one step."""

from collections.abc import Collection

from replicator.core.shards import Mode
from replicator.postgres.database import Session
from replicator.postgres.incidents import raise_epochs
from replicator.postgres.quoting import quote_identifier

SWITCH = """
-- Every Lambda transaction holds this row shared, so that a switch waits for those in flight; every
-- claim reads it, and is fenced off below.
with before as (
    select mode from {schema}.table_state
     where deployment = $1 and source = $2 and mode = any($5::text[])
       for update)
update {schema}.table_state as t
   set mode = $3, snapshot_id = $4, changed_at = now()
  from before
 where t.deployment = $1 and t.source = $2
returning before.mode
"""

BEGIN_ANEW = """
-- Behind the fence alone, rows are written without versions: those of before say nothing of them.
-- Under new numbers the targets have none, and the old ones are pruned as nobody's.
update {schema}.target_claim set id = default where deployment = $1 and source = $2
"""


async def switch_mode(
    connection: Session,
    control_schema: str,
    deployment: str,
    source: str,
    *,
    mode: Mode,
    snapshot_id: int | None = None,
    when: Collection[Mode],
) -> bool:
    """Switch a table's mode within the caller's transaction; False when it is in none of `when`.

    `snapshot_id` is the snapshot that runs from now on, or None. After the COMMIT nothing that
    believes in the older mode or snapshot can write: the epochs of all shards are raised.
    """
    schema = quote_identifier(control_schema)
    switched = await connection.fetchval(
        SWITCH.format(schema=schema), deployment, source, mode, snapshot_id, list(when)
    )
    if switched is None:
        return False
    if switched == "fence":
        await connection.execute(BEGIN_ANEW.format(schema=schema), deployment, source)
    await raise_epochs(connection, schema, deployment, source)
    return True
