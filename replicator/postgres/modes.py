"""Who keeps the order of a table's changes: fence, row guard or Lambda; switched in one step."""

from collections.abc import Collection

from replicator.core.shards import Mode
from replicator.postgres.database import Session
from replicator.postgres.incidents import raise_epochs
from replicator.postgres.quoting import quote_identifier

SWITCH = """
-- Every Lambda transaction holds this row shared, so that a switch waits for those in flight; every
-- claim reads it, and is fenced off below.
update {schema}.table_state
   set mode = $3, snapshot_id = $4, changed_at = now()
 where deployment = $1 and source = $2 and mode = any($5::text[])
returning 1
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
    await raise_epochs(connection, schema, deployment, source)
    return True
