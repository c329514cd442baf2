"""Heartbeats of the workers in the control schema: who lives, has gone, or is asked for leases.

A worker's row has a beat, a number that grows while the worker reaches the lease table; the others
take over its leases when the beat stands still for the length of a lease.
"""

from collections.abc import Collection

from replicator.core.leases.lease_owners import WorkerSign
from replicator.postgres.connection.database import Database

SEEN = """
-- One whose looks hang beats all the same: it keeps what it has, and counts as none that takes.
insert into {schema}.worker as w (deployment, id, version, leases, beat, seen_at, load)
values ($1, $2, $3, $4, $5, case when $6 then now() else 'epoch' end, $7)
    on conflict (deployment, id)
    do update set seen_at = greatest(w.seen_at, excluded.seen_at), leases = excluded.leases,
                  version = excluded.version, beat = excluded.beat, load = excluded.load
"""

GONE = """
delete from {schema}.worker
 where deployment = $1
   and (id = $2 or greatest(seen_at, told_at) < now() - interval '1 hour')
"""

OWNERS = """
select id from {schema}.worker
 where deployment = $1 and seen_at > now() - make_interval(secs => $2)
"""

WORKERS = """
select id as worker_id, beat, asked, load,
       extract(epoch from now() - seen_at)::float8 as seen_seconds
  from {schema}.worker
 where deployment = $1
"""

ASKED = """
update {schema}.worker set asked = asked + 1 where deployment = $1 and id = any($2::text[])
"""


class WorkerHeartbeats:
    """The workers of one deployment, each by the row that the worker itself keeps."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._deployment = database.deployment
        self._control = database.control

    async def seen(
        self,
        worker_id: str,
        *,
        version: str,
        leases: int,
        beat: int = 0,
        looking: bool = True,
        load: float = 0.0,
    ) -> None:
        """Say that the worker lives. `looking`: the looks make progress; `load`: records a minute
        of its shards."""
        told = (worker_id, version, leases, beat, looking, load)
        async with self._database.connection("saying that we live") as connection:
            await connection.execute(self._control.sql(SEEN), self._deployment, *told)

    async def workers(self) -> list[WorkerSign]:
        """The workers on record, dead workers among them."""
        async with self._database.connection("reading the workers") as connection:
            rows = await connection.fetch(self._control.sql(WORKERS), self._deployment)
        return [WorkerSign(**row) for row in rows]

    async def asked(self, workers: Collection[str]) -> None:
        """Tell workers that leases of theirs are asked for."""
        async with self._database.connection("asking for leases") as connection:
            await connection.execute(self._control.sql(ASKED), self._deployment, list(workers))

    async def gone(self, worker_id: str) -> None:
        """Take the worker off the list, and workers that were not seen for an hour."""
        async with self._database.connection("saying goodbye") as connection:
            await connection.execute(self._control.sql(GONE), self._deployment, worker_id)

    async def living(self, *, within_seconds: float) -> frozenset[str]:
        """The workers seen lately."""
        async with self._database.connection("reading the workers") as connection:
            rows = await connection.fetch(
                self._control.sql(OWNERS), self._deployment, within_seconds
            )
        return frozenset(row["id"] for row in rows)
