"""Ends sessions of replicator whose process is frozen, and which no timer of the server ends.

A process that is frozen after it has sent a part of a statement leaves a session that PostgreSQL
counts as `active` and that reads from its client: neither `statement_timeout` nor
`idle_in_transaction_session_timeout` ends it, and what it has locked stays locked for as long as
the freeze lasts. So does one that writes an answer which nobody reads. One such lock on a row of
the control schema stops every worker. So whoever waited for a lock in vain ends these sessions, as
the server's timer ends one that idles in a transaction.
"""

import asyncpg

from replicator.postgres.connection.connect import IDLE_IN_TRANSACTION_SECONDS

_END = """
-- Sessions of replicator alone, and those that this role may end: of one that it may not end,
-- PostgreSQL would refuse the whole statement. Without a transaction number a session has no row
-- locked: it may be alive, and send values over a slow link. One that writes to its client is left
-- alone for as long as its process would wait for it.
select count(pg_terminate_backend(a.pid))
  from pg_stat_activity a
  join pg_roles r on r.oid = a.usesysid
 where (a.application_name = $1 or starts_with(a.application_name, $1 || ' '))
   and a.datname = current_database()
   and pg_has_role(a.usesysid, 'usage')
   and (not r.rolsuper or current_setting('is_superuser')::bool)
   and a.state = 'active'
   and a.backend_xid is not null
   and (a.wait_event = 'ClientRead'
        and a.state_change < clock_timestamp() - make_interval(secs => $2)
        or a.wait_event = 'ClientWrite'
        and a.xact_start < clock_timestamp() - make_interval(secs => $3))
"""


async def end_frozen_sessions(
    connection: "asyncpg.Connection[asyncpg.Record]", name: str, *, transaction_seconds_max: float
) -> None:
    """End what has sent a part of a statement, and nothing more for ten seconds; and what takes no
    answer, once its transaction is older than any living process lets it grow.
    """
    await connection.execute(_END, name, IDLE_IN_TRANSACTION_SECONDS, transaction_seconds_max)
