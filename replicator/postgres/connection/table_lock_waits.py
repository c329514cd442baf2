"""Transactions that wait for another session's lock: who holds it, and where they wait.

A statement that ended at `lock_timeout` waits for nobody any more, so PostgreSQL is asked before
that, beside the pool. Whoever is found to wait for another session's lock is cancelled, so that
it keeps no connection of the pool: the next attempt goes into the lane, one connection beside the
pool for all that wait, to each for a share of the lock timeout. So the pool loses a connection for
a second to each table that is locked, and then none.

What is told of the other session holds no value: the statement only up to the first literal.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import TypeVar

import asyncpg

from replicator.errors import ReplicatorError, TargetLocked
from replicator.postgres.connection.database import Database, Session

T = TypeVar("T")
PATIENCE_SECONDS = 1.0
"""Seconds that a transaction may last in the pool before PostgreSQL is asked for the lock it waits
for."""
IMPATIENCE_SECONDS = 0.1
"""PATIENCE_SECONDS of a transaction while another one is known to wait for the table's lock."""
TURN_SECONDS_MIN = 0.5
LANE_SECONDS_MAX = 15.0
"""Seconds that one waits for a turn in the lane before the caller hears of it."""
WORDS_MAX = 8
GIVE_UP = """
-- Who keeps a session waiting for a lock; that wait is ended. An advisory lock is a trigger's own
-- affair, and what replicator itself does is short.
select who.*,
       pg_catalog.pg_cancel_backend($1)
  from (select b.pid,
               coalesce(nullif(a.application_name, ''), a.backend_type) as name,
               a.xact_start,
               a.query,
               (select pg_catalog.min(l.relation::pg_catalog.regclass::text)
                  from pg_catalog.pg_locks l
                 where l.pid = $1
                   and l.relation is not null
                   and (not l.granted or l.locktype = 'tuple')) as relation
          from pg_catalog.unnest(pg_catalog.pg_blocking_pids($1)) as b(pid)
          left join pg_catalog.pg_stat_activity a on a.pid = b.pid
         where not exists (select
                             from pg_catalog.pg_locks l
                            where l.pid = $1
                              and not l.granted
                              and l.locktype = 'advisory')
           and not coalesce(pg_catalog.starts_with(a.application_name, $2)
                            and a.xact_start > pg_catalog.now() - interval '5 seconds', false)
         order by a.xact_start
         limit 1) as who
"""
_words = re.compile(r"\s*([A-Za-z_][A-Za-z_0-9.]*;?,?)(?=[\s;,()]|$)").match


class LockWaits:
    """Transactions of one table: in the pool, or in the lane once they have waited for a lock."""

    def __init__(self, database: Database, doing: str) -> None:
        self._database = database
        self._doing = doing
        self._blocked: dict[Hashable, TargetLocked] = {}

    async def run(
        self,
        who: Hashable,
        statements: Callable[[Session], Awaitable[T]],
        mapped_columns: Collection[str] = (),
        *,
        steady: bool = False,
    ) -> T:
        """The statements' result; TargetLocked names who has the lock that does not come.

        `steady`: as for `Database.connection`.
        """
        blocked = self._blocked.get(who)
        try:
            if blocked is None:
                result = await self._in_pool(statements, mapped_columns, steady=steady)
            else:
                result = await self._in_lane(statements, mapped_columns, blocked)
        except TargetLocked as error:
            self._blocked[who] = error
            raise
        except BaseException:
            self._blocked.pop(who, None)
            raise
        self._blocked.pop(who, None)
        return result

    async def _in_pool(
        self,
        statements: Callable[[Session], Awaitable[T]],
        mapped_columns: Collection[str],
        *,
        steady: bool,
    ) -> T:
        database, patience = self._database, PATIENCE_SECONDS
        if self._blocked:
            patience = IMPATIENCE_SECONDS
        async with database.connection(
            self._doing, mapped_columns=mapped_columns, steady=steady
        ) as connection:
            return await naming_holder(database, connection, statements, patience_seconds=patience)

    async def _in_lane(
        self,
        statements: Callable[[Session], Awaitable[T]],
        mapped_columns: Collection[str],
        blocked: TargetLocked,
    ) -> T:
        database = self._database
        try:
            async with (
                asyncio.timeout(LANE_SECONDS_MAX) as turn,
                database.lane(self._doing, mapped_columns=mapped_columns) as (connection, seconds),
            ):
                turn.reschedule(None)
                return await naming_holder(
                    database,
                    connection,
                    statements,
                    patience_seconds=max(TURN_SECONDS_MIN, seconds * 0.8),
                )
        except TimeoutError:
            raise blocked from None


async def naming_holder(
    database: Database,
    connection: Session,
    statements: Callable[[Session], Awaitable[T]],
    *,
    patience_seconds: float,
) -> T:
    """Statements of one session: where a lock does not come, TargetLocked names the holder.

    Behind a pooler no session can be told from another, and nobody is asked.
    """
    if database.settings.pooler != "none":
        return await statements(connection)
    async with asyncio.TaskGroup() as tasks:
        look = _Look(tasks, database, connection.get_server_pid(), patience_seconds)
        result = await _outcome(statements(connection), look)
    if isinstance(result, Exception):
        raise result
    return result


async def _outcome(statements: Awaitable[T], look: "_Look") -> T | Exception:
    """The result or the failure, once nobody will end a wait of the session any more."""
    try:
        result: T | Exception = await statements
    except (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError) as error:
        return await look.found() or error
    except Exception as error:  # noqa: BLE001 (raised by the caller, as it is and not in a group)
        result = error
    finally:
        look.ends()
    await look.found()
    return result


class _Look:
    """Asks for whom a session waits, again and again, once it has waited for a while.

    The session is not used for anything else while the wait may be ended: see `found`.
    """

    def __init__(
        self, tasks: asyncio.TaskGroup, database: Database, pid: int, every_seconds: float
    ) -> None:
        self._tasks = tasks
        self._database = database
        self._pid = pid
        self._every_seconds = every_seconds
        self._task: asyncio.Task[TargetLocked | None] | None = None
        self._later = asyncio.get_running_loop().call_later(every_seconds, self._begin)
        self._ended = asyncio.Event()

    def _begin(self) -> None:
        self._task = self._tasks.create_task(self._look(), name="look who has a lock")

    def ends(self) -> None:
        """The statements came to an end: nothing more is asked."""
        self._later.cancel()
        self._ended.set()

    async def found(self) -> TargetLocked | None:
        """The lock for which the wait was ended, if any; a question on its way is awaited first."""
        self.ends()
        return None if self._task is None else await self._task

    async def _look(self) -> TargetLocked | None:
        while not self._ended.is_set():
            try:
                async with self._database.helper("looking for a lock") as connection:
                    if self._ended.is_set():
                        break
                    row = await connection.fetchrow(GIVE_UP, self._pid, self._database.name)
            except ReplicatorError:
                return None  # the statement itself says what is wrong with PostgreSQL
            if row is not None:
                return _locked(row)
            try:
                await asyncio.wait_for(
                    self._ended.wait(), max(PATIENCE_SECONDS, self._every_seconds)
                )
            except TimeoutError:
                continue
        return None


def _locked(row: asyncpg.Record) -> TargetLocked:
    pid = row["pid"]
    what = row["relation"] or "a row of the target"
    if not pid:
        return TargetLocked(
            f"{what} is locked by a prepared transaction",
            remedy="see pg_prepared_xacts, and end it with `commit prepared` or "
            "`rollback prepared`",
        )
    name = row["name"] or "a session"
    since = "" if row["xact_start"] is None else f" since {row['xact_start']:%Y-%m-%d %H:%M:%S} UTC"
    words = first_words(row["query"] or "")
    return TargetLocked(
        f"{what} is locked by {name} (pid {pid}){since}" + (f": {words} …" if words else ""),
        remedy=f"wait for its transaction to end, or end it: `select pg_terminate_backend({pid})`",
    )


def first_words(statement: str) -> str:
    """The first words of a statement, up to the first thing that may be a value."""
    found: list[str] = []
    position = 0
    while len(found) < WORDS_MAX and (word := _words(statement, position)) is not None:
        if word[1].lower() == "to":  # `set … to` has values without quotes
            break
        found.append(word[1])
        position = word.end()
    return " ".join(found)
