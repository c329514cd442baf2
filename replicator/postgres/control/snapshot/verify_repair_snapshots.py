"""A repair in the control schema: a snapshot of a few keys that begins at once, for one process."""

from collections.abc import Sequence

from replicator.core.stream.ordering_mode import OrderingMode
from replicator.errors import ConfigurationError
from replicator.postgres.connection.database import Database
from replicator.postgres.control.snapshot.snapshots import ADD_SEGMENT, LOCK_TABLE
from replicator.postgres.control.stream.gaps_and_halts import ACTION
from replicator.postgres.control.stream.ordering_mode_switch import switch_ordering_mode

BEGIN_REPAIR = """
insert into {schema}.snapshot
       (deployment, source, reason, state, forced, who, why, items_estimated, started_at)
values ($1, $2, 'repair', 'running', true, $3, $4, $5, now())
returning id
"""


async def begin_repair(
    database: Database, source: str, targets: Sequence[str], *, keys: int, who: str, why: str | None
) -> int:
    """Enter `guard` with a snapshot of one segment for the items, and one for each target's rows.

    From the COMMIT on every writer of the table knows the snapshot, so that whatever is read
    afterwards may be written through the row guard. Returns the number. ConfigurationError while
    the table is stopped, or another snapshot of it is under way.
    """
    control = database.control
    deployment = database.deployment
    async with database.transaction("beginning a repair") as connection:
        table = await connection.fetchrow(control.sql(LOCK_TABLE), deployment, source)
        if table is None or table["stopped"] or table["snapshot_id"] is not None:
            raise _not_now(source, under_way=table is not None and not table["stopped"])
        number: int = await connection.fetchval(
            control.sql(BEGIN_REPAIR), deployment, source, who, why, keys
        )
        await switch_ordering_mode(
            connection,
            control,
            deployment,
            source,
            ordering=OrderingMode.of(table["mode"]).while_loading(),
            snapshot_id=number,
            when=(OrderingMode.FENCE, OrderingMode.LAMBDA),
        )
        for place, target in enumerate([None, *targets]):
            await connection.execute(
                control.sql(ADD_SEGMENT), deployment, source, number, place, target, 1, 0
            )
        await connection.execute(
            control.sql(ACTION), deployment, source, "repair", who, why, str(number)
        )
    return number


def _not_now(source: str, *, under_way: bool) -> ConfigurationError:
    if under_way:
        return ConfigurationError(
            f"a snapshot or another repair of table {source!r} is under way",
            remedy="let it end (`replicator status`), then verify again",
        )
    return ConfigurationError(
        f"table {source!r} is stopped or not registered: nothing of it is written",
        remedy="`replicator status` names what fixes it; then verify again",
    )
