"""Notices that are open, and what of them is delivered: each is sent by one worker at a time."""

from collections.abc import Sequence
from dataclasses import astuple, fields

from replicator.core.status.notices import Due, Notice
from replicator.postgres.connection.database import Database

AGAIN_SECONDS = 30.0
"""Seconds after which a notice that was not delivered is tried again; then twice as many, and so
on."""
AGAIN_SECONDS_MAX = 3600.0
BATCH = 10

OPEN = """
-- A problem that lasts keeps its number and the time it began, whatever its words are by now.
insert into {schema}.notice as n (deployment, source, kind, severity, what, remedy)
select $1, u.* from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
                    as u (source, kind, severity, what, remedy)
 where exists (select from {schema}.table_state t
                where (t.deployment, t.source) = ($1, u.source))
 order by source, kind
    on conflict (deployment, source, kind) do update
   set event = 'opened', number = n.number + 1, since = now(), delivered = null,
       severity = excluded.severity, what = excluded.what, remedy = excluded.remedy,
       attempts = 0, tried_at = null
 where n.event = 'resolved' and n.since < now() - make_interval(secs => $7)
"""

RESOLVE = """
-- What nobody was told of needs no word of its end.
update {schema}.notice n
   set event = 'resolved', since = now(), attempts = 0, tried_at = null,
       delivered = case when delivered is null then 'resolved' else delivered end
 where deployment = $1 and event = 'opened' and since < now() - make_interval(secs => $4)
   and not exists (select from unnest($2::text[], $3::text[]) as u (source, kind)
                    where (u.source, u.kind) = (n.source, n.kind))
"""

TAKE = """
update {schema}.notice n
   set attempts = attempts + 1, tried_at = now()
 where (deployment, source, kind) in (
       select deployment, source, kind from {schema}.notice
        where deployment = $1 and delivered is distinct from event
          and (tried_at is null
               or tried_at < now() - least($2 * 2 ^ least(attempts - 1, 20), $3)
                                     * interval '1 second')
        order by since limit $4 for update skip locked)
returning source, kind, severity, what, remedy, event, number, since
"""

DELIVERED = """
update {schema}.notice set delivered = $4
 where (deployment, source, kind, event, number) = ($1, $2, $3, $4, $5)
"""


class Notices:
    """The notices of a deployment."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._control = database.control

    async def record(self, current: Sequence[Notice], *, seconds_old: float) -> None:
        """Open what is new, and resolve what is not among `current` any more.

        `seconds_old`: the age of the status that `current` is of. What changed since then is left
        to whoever has a newer one, or two workers would open and end one notice in turns.
        """
        columns = [list(column) for column in zip(*map(astuple, current), strict=True)]
        columns = columns or [[] for _ in fields(Notice)]
        source, kind, *_ = columns
        async with self._database.transaction("noting what is to be told") as connection:
            await connection.execute(
                self._control.sql(OPEN), self._database.deployment, *columns, seconds_old
            )
            await connection.execute(
                self._control.sql(RESOLVE),
                self._database.deployment,
                source,
                kind,
                seconds_old,
            )

    async def take(self) -> list[Due]:
        """Notices to deliver now; no other worker gets the same before the next try is due."""
        async with self._database.connection("taking notices to deliver") as connection:
            rows = await connection.fetch(
                self._control.sql(TAKE),
                self._database.deployment,
                AGAIN_SECONDS,
                AGAIN_SECONDS_MAX,
                BATCH,
            )
        return [
            Due(
                Notice(row["source"], row["kind"], row["severity"], row["what"], row["remedy"]),
                "opened" if row["event"] == "opened" else "resolved",
                row["number"],
                row["since"],
            )
            for row in rows
        ]

    async def delivered(self, due: Due) -> None:
        """Every receiver has it; without effect when the problem ended or opened since."""
        async with self._database.connection("noting a delivered notice") as connection:
            await connection.execute(
                self._control.sql(DELIVERED),
                self._database.deployment,
                due.notice.table,
                due.notice.kind,
                due.event,
                due.number,
            )
