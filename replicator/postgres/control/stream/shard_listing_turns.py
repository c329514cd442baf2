"""Worker that lists the stream of a table, and time of the last listing, by PostgreSQL's clock."""

from replicator.postgres.connection.database import Database

ABANDONED_SECONDS = 30.0
"""Seconds of silence after which another worker may begin a listing again."""

BEGIN = """
-- One at a time: not while another lists, not before the last one was begun so long ago, and not
-- where a good one is younger than is asked for.
insert into {schema}.listing as l (deployment, source, by, begun_at, heard_at)
values ($1, $2, $3, now(), now())
    on conflict (deployment, source)
    do update set by = excluded.by, begun_at = now(), heard_at = now()
 where case when l.by is null then l.begun_at <= now() - make_interval(secs => $4)
            else l.heard_at < now() - make_interval(secs => $5)
       end
   and (l.listed_at is null or l.listed_at <= now() - make_interval(secs => $6))
returning 1
"""

KEEP = """
update {schema}.listing
   set heard_at = now()
 where deployment = $1 and source = $2 and by = $3
"""

LEAVE = """
update {schema}.listing set by = null where deployment = $1 and by = $2
"""

END = """
-- A failed one leaves the last good one as it was; a good one counts from its beginning.
update {schema}.listing
   set by = null, listed_at = case when $4 then begun_at else listed_at end,
       calls = coalesce($5, calls)
 where deployment = $1 and source = $2 and by = $3
"""


class ListingTurns:
    """The right of one worker to list a stream, and the record of what was listed."""

    def __init__(self, database: Database, worker_id: str) -> None:
        self._database = database
        self._worker_id = worker_id
        self._control = database.control

    async def begin(self, source: str, *, every_seconds: float, young_seconds: float = 0.0) -> bool:
        """True when the worker is to list the stream now; ended by `end`, kept by `keep`.

        `young_seconds`: not where a good listing is younger.
        """
        async with self._database.connection("beginning a listing") as connection:
            found = await connection.fetchval(
                self._control.sql(BEGIN),
                *self._own(source),
                every_seconds,
                ABANDONED_SECONDS,
                young_seconds,
            )
        return found is not None

    async def keep(self, source: str) -> None:
        """Say that the listing goes on."""
        async with self._database.connection("keeping a listing") as connection:
            await connection.execute(self._control.sql(KEEP), *self._own(source))

    async def end(self, source: str, *, proved: bool, calls: int | None = None) -> None:
        """End the listing. `proved`: every shard that it showed is on record; `calls`: of
        DescribeStream, that it took."""
        async with self._database.connection("ending a listing") as connection:
            await connection.execute(self._control.sql(END), *self._own(source), proved, calls)

    async def leave(self) -> None:
        """Give all listings of the worker up: another may begin them at once."""
        async with self._database.connection("leaving listings") as connection:
            await connection.execute(
                self._control.sql(LEAVE), self._database.deployment, self._worker_id
            )

    def _own(self, source: str) -> tuple[str, str, str]:
        return self._database.deployment, source, self._worker_id
