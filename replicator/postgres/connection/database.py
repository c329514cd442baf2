"""The pool of one process, and every failure of it translated."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TypeAlias, cast

import asyncpg

from replicator.errors import BatchTooSlow, ReplicatorError, SinkUnavailable, TargetLocked
from replicator.postgres.connection.connect import VALUES_WITHIN, ConnectionSettings, connect
from replicator.postgres.connection.control_schema_names import ControlSchema
from replicator.postgres.connection.end_frozen_sessions import end_frozen_sessions
from replicator.postgres.connection.error_translation import translate
from replicator.postgres.connection.plan_cache_mode import plan_as_fits
from replicator.postgres.connection.transaction_limit import transaction_limit

SESSION_NAME_BYTES_MAX = 63
SECONDS_BETWEEN_ENDINGS = 5.0
"""Seconds between two questions for sessions that stopped in the middle of a statement."""
ENDING_SECONDS_MAX = 2.0
"""Longest time that whoever waited for a lock in vain looks for these sessions."""
BESIDE_MAX = 2
"""Connections beside the pool, opened when needed: one to help with, one for the lane."""
Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Opened: TypeAlias = "Callable[[], Awaitable[asyncpg.Pool[asyncpg.Record]]]"
_LOST = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Errors of asyncpg and the socket when a connection ends at any moment of a call."""


async def create_pool(
    settings: ConnectionSettings, size: int, *, idle_seconds_max: float = 300.0
) -> asyncpg.Pool:
    """A pool of at most `size` connections, opened when needed, closed when idle for so long."""

    async def open_one(*_: object, **__: object) -> asyncpg.Connection:
        seconds = _transaction_seconds_max(settings)
        return await connect(settings, transaction_seconds_max=seconds)

    return await asyncpg.create_pool(
        min_size=0,
        max_size=size,
        max_inactive_connection_lifetime=idle_seconds_max,
        connect=open_one,
        reset=_nothing_to_reset,
    )


def _transaction_seconds_max(settings: ConnectionSettings) -> float:
    """Seconds that a transaction of a living process lasts at most."""
    return _seconds_on_the_client(settings) + 10.0


def _seconds_on_the_client(settings: ConnectionSettings) -> float:
    """Seconds after which a connection whose statements do not end is thrown away."""
    return settings.statement_timeout_seconds + 5.0


async def _nothing_to_reset(_: asyncpg.Connection) -> None:
    """No session state outlives a transaction here, so nothing is said to the server."""


class Database:
    """PostgreSQL as one deployment sees it: the pool, the control schema, the limits.

    Every statement is bounded on the side of the client, too: a server that stopped answering is
    left, and the connection thrown away.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        *,
        deployment: str,
        control_schema: str,
        pool_size: int,
        worker_id: str | None = None,
    ) -> None:
        self.deployment = deployment
        self.control_schema = control_schema
        self.control = ControlSchema(control_schema)
        """Fills in the statements of the control schema."""
        self.name = settings.application_name
        """Begin of the names of all sessions of replicator."""
        if worker_id is not None:
            settings = replace(settings, application_name=self.session_name(worker_id))
        self.settings = settings
        self._pool_size = pool_size
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._beside: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._helping, self._lane = asyncio.Lock(), asyncio.Lock()
        self._in_lane = 0
        self._seconds_left: Callable[[], float] | None = None
        self._may_end_at = 0.0

    def bound(self, seconds_left: Callable[[], float]) -> None:
        """Bound every statement from now on, whatever the settings allow."""
        self._seconds_left = seconds_left

    async def discard(self) -> None:
        """Throw all connections away; the next call opens new ones."""
        pools = self._pool, self._beside
        self._pool = self._beside = None
        for pool in pools:
            if pool is not None:
                pool.terminate()

    @property
    def _statement_seconds_max(self) -> float:
        longest = _seconds_on_the_client(self.settings)
        return longest if self._seconds_left is None else min(longest, self._seconds_left())

    def session_name(self, worker_id: str) -> str:
        """Name of a worker's sessions, by which the session that holds a lock is recognised."""
        return f"{self.name} {worker_id}"[:SESSION_NAME_BYTES_MAX]

    @asynccontextmanager
    async def connection(
        self, doing: str, *, mapped_columns: Collection[str] = (), steady: bool = False
    ) -> AsyncIterator[Session]:
        """A connection; what fails inside is raised as a ReplicatorError.

        Its statements commit one by one; where a pooler is all together, since what a statement
        relies on can be set for a transaction only. PostgreSQL may keep the plans of `steady`
        ones (`plan_cache_mode`).
        """
        async with (
            self._ending_frozen_sessions(),
            self._connection_of(self._opened, doing, mapped_columns, steady=steady) as connection,
        ):
            yield connection

    @asynccontextmanager
    async def helper(self, doing: str) -> AsyncIterator[Session]:
        """A connection beside the pool, for a short statement that helps transactions waiting in
        the pool.
        """
        async with (
            self._helping,
            self._connection_of(self._opened_beside, doing) as connection,
        ):
            yield connection

    @asynccontextmanager
    async def lane(
        self, doing: str, *, mapped_columns: Collection[str] = ()
    ) -> AsyncIterator[tuple[Session, float]]:
        """The one connection beside the pool for statements that wait for a lock, to one caller
        after the other.

        With the connection come the seconds that a turn may last: the lock timeout, shared by all
        callers.
        """
        self._in_lane += 1
        try:
            async with (
                self._ending_frozen_sessions(),
                self._lane,
                self._connection_of(self._opened_beside, doing, mapped_columns) as connection,
            ):
                yield connection, self.settings.lock_timeout_seconds / self._in_lane
        finally:
            self._in_lane -= 1

    @asynccontextmanager
    async def _connection_of(
        self,
        opened: Opened,
        doing: str,
        mapped_columns: Collection[str] = (),
        *,
        steady: bool = False,
    ) -> AsyncIterator[Session]:
        """A connection of a pool, back in it afterwards; behind a pooler within a transaction,
        which has the settings that are otherwise the session's.

        A connection whose statement did not end is terminated, so that nothing of it is reused; so
        is one whose server cannot work now: it may have become a standby, and another is asked.
        """
        try:
            pool = await opened()
            connection = await pool.acquire(timeout=self._statement_seconds_max)
        except (asyncpg.PostgresError, *_LOST) as error:
            raise translate(error, doing="connecting") from error
        sound = False
        try:
            async with asyncio.timeout(self._statement_seconds_max):
                # the pool's proxy has all of a connection's methods
                session = cast("Session", connection)
                if self.settings.pooler == "none":
                    await plan_as_fits(connection, steady=steady)
                    yield session
                else:
                    async with self.transaction_on(session):
                        yield session
            sound = True
        except _LOST as error:
            raise translate(error, doing=doing) from error
        except asyncpg.PostgresError as error:
            failure = translate(error, mapped_columns=mapped_columns, doing=doing)
            sound = not isinstance(failure, SinkUnavailable)
            raise failure from error
        except ReplicatorError:
            sound = True
            raise
        finally:
            if not sound:
                with suppress(asyncpg.InterfaceError):  # the pool saw it end, and has let it go
                    connection.terminate()
            await pool.release(connection)

    @asynccontextmanager
    async def transaction(
        self, doing: str, *, mapped_columns: Collection[str] = ()
    ) -> AsyncIterator[Session]:
        """A transaction of several statements, with the limits set for it where a pooler is."""
        async with (
            self._ending_frozen_sessions(),
            self._connection_of(self._opened, doing, mapped_columns) as connection,
            self.transaction_on(connection),
        ):
            yield connection

    @asynccontextmanager
    async def _ending_frozen_sessions(self) -> AsyncIterator[None]:
        """Where a lock did not come, end the sessions of replicator that would keep it for ever,
        beside the pool; the caller's next attempt has it. Behind a pooler no session has a name.
        """
        try:
            yield
        except (TargetLocked, BatchTooSlow):  # the latter where statement_timeout comes first
            now = asyncio.get_running_loop().time()
            if self.settings.pooler == "none" and now >= self._may_end_at:
                self._may_end_at = now + SECONDS_BETWEEN_ENDINGS
                # the caller's own failure is what is raised, and soon
                with suppress(ReplicatorError, TimeoutError):
                    async with (
                        asyncio.timeout(ENDING_SECONDS_MAX),
                        self.helper("ending frozen sessions") as connection,
                    ):
                        await end_frozen_sessions(
                            connection,
                            self.name,
                            transaction_seconds_max=_transaction_seconds_max(self.settings),
                        )
            raise

    @asynccontextmanager
    async def transaction_on(self, connection: Session) -> AsyncIterator[None]:
        """A transaction as of `transaction`, on a connection; the running one, if there is one."""
        if connection.is_in_transaction():
            yield
            return
        async with connection.transaction(isolation="read_committed"):
            await self._limit(connection)
            yield

    async def close(self) -> None:
        """Close all connections, at once where they do not end by themselves."""
        for pool in (self._pool, self._beside):
            if pool is None:
                continue
            try:
                async with asyncio.timeout(1.0):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    async def _opened(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._opening:
            if self._pool is None:
                self._pool = await create_pool(self.settings, self._pool_size)
            return self._pool

    async def _opened_beside(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._opening:
            if self._beside is None:
                self._beside = await create_pool(self.settings, BESIDE_MAX, idle_seconds_max=30.0)
            return self._beside

    async def _limit(self, connection: asyncpg.Connection) -> None:
        if self.settings.pooler == "none" and self._seconds_left is None:
            return
        seconds = min(self.settings.statement_timeout_seconds, self._statement_seconds_max)
        limits = [
            f"set local statement_timeout = {max(1, int(seconds * 1000))}",
            f"set local lock_timeout = {int(self.settings.lock_timeout_seconds * 1000)}",
            "set local plan_cache_mode = force_custom_plan",
        ]
        if self.settings.pooler != "none":
            limits.append(VALUES_WITHIN)
            seconds = _transaction_seconds_max(self.settings)
            limits += transaction_limit(connection, seconds, within_one=True)
        await connection.execute("; ".join(limits))
