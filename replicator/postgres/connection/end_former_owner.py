"""Ends the frozen session of a shard's recorded owner, for which a claim would wait for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from replicator.errors import ReplicatorError, SinkBusy
from replicator.postgres.connection.database import Database, Session

T = TypeVar("T")
Within = Callable[[Session], Awaitable[T]]

END_BLOCKERS = """
-- Only a session of the recorded owner, and only while it blocks us, is ended.
select pg_terminate_backend(a.pid)
  from unnest(pg_blocking_pids($1)) as b(pid)
  join pg_stat_activity a on a.pid = b.pid
 where a.application_name = $2
"""

PATIENCE_MILLISECONDS = 2000
"""Milliseconds that a claim waits for a transaction in flight before it looks for a frozen one."""
_LOOKS_FOR_BLOCKERS = 20
_SECONDS_BETWEEN_LOOKS = 0.1


class ClaimTransactions:
    """Makes claims of shards and segments, each in a transaction that outlasts the former owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def patiently(self, claim: Within[T], owner: Within[str | None]) -> T:
        """The claim, which waits for a transaction in flight.

        One that does not end within two seconds is ended, if the session is the recorded owner's
        and no pooler stands between.
        """
        try:
            async with self._database.transaction("claiming") as connection:
                await connection.execute(f"set local lock_timeout = {PATIENCE_MILLISECONDS}")
                return await claim(connection)
        except SinkBusy:
            if self._database.settings.pooler != "none":
                raise
        return await self._ending_blocker(claim, owner)

    async def _ending_blocker(self, claim: Within[T], owner: Within[str | None]) -> T:
        """Claim again, and end the owner's frozen session as soon as that one blocks the claim."""
        outcome: list[T | ReplicatorError] = []
        async with asyncio.TaskGroup() as tasks:
            try:
                async with self._database.transaction("claiming") as connection:
                    blocked = connection.get_server_pid()
                    ending = tasks.create_task(
                        self._end_blockers(blocked, owner), name="end blockers"
                    )
                    try:
                        outcome.append(await claim(connection))
                    finally:
                        ending.cancel()
            except ReplicatorError as error:
                outcome.append(error)
        result = outcome[-1]
        if isinstance(result, ReplicatorError):
            raise result
        return result

    async def _end_blockers(self, blocked: int, owner: Within[str | None]) -> None:
        try:
            async with self._database.helper("ending a blocker") as connection:
                worker_id = await owner(connection)
                if worker_id is None:
                    return
                session = self._database.session_name(worker_id)
                for _ in range(_LOOKS_FOR_BLOCKERS):
                    await connection.execute(END_BLOCKERS, blocked, session)
                    await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
        except ReplicatorError:
            return  # the claim itself says what is wrong with PostgreSQL
