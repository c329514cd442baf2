"""One self-test: scratch tables made, written, replicated by the real engine, compared, deleted."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from replicator.app.compile_mappings import require_mappings
from replicator.app.daemon.run import Daemon
from replicator.app.verify import Request, verify
from replicator.clock import Clock, SystemClock
from replicator.config.connection_parameters import (
    migrate_connection,
    source_connection,
    target_connection,
)
from replicator.config.settings import Settings
from replicator.config.table_settings import TableSettings
from replicator.core.verify.results import TargetResult, is_equal
from replicator.engine.task_groups import one_failure
from replicator.postgres.connection.database import Database
from replicator.postgres.connection.sql_quoting import quote_table
from replicator.postgres.schema.migrate import migrate
from replicator.postgres.schema.selftest_schemas import drop_schemas, schemas_with_prefix
from replicator.selftest.assumptions import Fact, facts_of
from replicator.selftest.scratch_tables import PREFIX, Account, open_account
from replicator.selftest.workload import VALUES, PutItem, changed_items, changes, key_of

SCHEMA_PREFIX = "replicator_selftest_"
"""Names of all schemas that a self-test makes begin with it."""
ITEMS = 60
PROBES = 5
APPLIED_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.1

PROBED = "partition-100"
HAS_ROW = "select exists (select from {table} where pk = $1 and sk = $2::text::numeric)"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Report:
    """The result: comparison of both sides, and facts of the service."""

    results: tuple[TargetResult, ...]
    facts: tuple[Fact, ...]
    changes: int
    table: str
    schema: str

    @property
    def equal(self) -> bool:
        """True when all items have the rows, and no row is without an item."""
        return is_equal(self.results)

    @property
    def well(self) -> bool:
        """True when both sides are equal and every belief held."""
        return self.equal and all(fact.holds is not False for fact in self.facts)


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Scratch tables and schemas of self-tests that did not get to the end."""

    tables: tuple[str, ...]
    schemas: tuple[str, ...]


class SelfTest:
    """A self-test of one deployment's account and database, under names that nobody else has."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        name = secrets.token_hex(4)
        self._clock = clock or SystemClock()
        self.table = f"{PREFIX}{name}"
        self.lease_table = f"{PREFIX}{name}-leases"
        self.control_schema = f"{SCHEMA_PREFIX}{name}"
        self.schema = f"{SCHEMA_PREFIX}{name}_rows"
        self._place = source_connection(settings.source)
        self._target = settings.target
        self._settings = _scratch_settings(settings, self)

    async def leftovers(self) -> Leftovers:
        """Scratch tables and schemas of earlier self-tests."""
        async with open_account(self._place, self._clock) as account:
            tables = await account.leftovers()
        schemas = await schemas_with_prefix(migrate_connection(self._target), SCHEMA_PREFIX)
        return Leftovers(tuple(tables), tuple(schemas))

    async def clean(self, left: Leftovers) -> None:
        """Delete leftovers."""
        async with open_account(self._place, self._clock) as account:
            for name in left.tables:
                await account.delete(name)
        await drop_schemas(migrate_connection(self._target), list(left.schemas))

    async def run(self, say: Say) -> Report:
        """Do all of it; whatever happens, everything that was made is deleted."""
        try:
            async with open_account(self._place, self._clock) as account:
                return await self._run(account, say)
        finally:
            say("deleting everything that was made")
            made = Leftovers((self.table, self.lease_table), (self.schema, self.control_schema))
            await asyncio.shield(self.clean(made))

    async def _run(self, account: Account, say: Say) -> Report:
        say(f"creating the table {self.table}")
        stream_arn = await account.create(self.table)
        say(f"creating the schemas {self.control_schema} and {self.schema}")
        await migrate(
            migrate_connection(self._target),
            self.control_schema,
            self._settings.deployment,
            await require_mappings(self._settings),
            runner=target_connection(self._target),
        )
        total = changed_items(ITEMS) + PROBES
        stopping = asyncio.Event()
        async with AsyncExitStack() as stack, one_failure() as tasks:
            stack.callback(stopping.set)
            tasks.create_task(
                Daemon(self._settings, until_caught_up=False).run(stopping), name="daemon"
            )
            reading = tasks.create_task(
                account.read(stream_arn, lambda seen: seen >= total), name="read"
            )
            say(f"making {total} changes of every type, while the engine replicates them")
            await account.write(self.table, changes(ITEMS))
            seconds_to_rows = await self._probes(account)
            read = await reading
            say("comparing both sides")
            results = await self._compared()
            stopping.set()
        facts = facts_of(
            read, changes=total, seconds_to_rows=seconds_to_rows, clock_skew=account.skew
        )
        return Report(results, tuple(facts), total, self.table, self.schema)

    async def _probes(self, account: Account) -> list[float]:
        """Seconds from single writes to the rows."""
        database = Database(
            target_connection(self._target),
            deployment=self._settings.deployment,
            control_schema=self.control_schema,
            pool_size=1,
        )
        seconds: list[float] = []
        try:
            for number in range(PROBES):
                key = key_of(100, number)
                began = self._clock.monotonic()
                await account.write(self.table, [PutItem({**key, **VALUES})])
                if not await self._until(partial(self._has_row, database, number)):
                    break
                seconds.append(self._clock.monotonic() - began)
        finally:
            await database.close()
        return seconds

    async def _until(self, condition: Callable[[], Awaitable[bool]]) -> bool:
        deadline = self._clock.monotonic() + APPLIED_SECONDS_MAX
        while self._clock.monotonic() < deadline:
            if await condition():
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False

    async def _has_row(self, database: Database, number: int) -> bool:
        text = HAS_ROW.format(table=quote_table(self.schema, "typed"))
        async with database.connection("looking for a row") as connection:
            found = await connection.fetchval(text, PROBED, str(number))
        return bool(found)

    async def _compared(self) -> tuple[TargetResult, ...]:
        outcome = await verify(self._settings, Request(), _Silent())
        return outcome.results


class _Silent:
    """A watcher that shows nothing."""

    def begins(self, table: str, items_expected: int) -> None:
        """Ignore the table."""

    def moved(self, items: int) -> None:
        """Ignore the progress."""


def _scratch_settings(settings: Settings, names: SelfTest) -> Settings:
    """The deployment's settings with scratch tables, schemas and leases in place of its own."""
    typed = {
        "columns": {
            "text": "text",
            "integer": "bigint",
            "digits": "numeric",
            "bytes": "bytea",
            "yes": "boolean",
            "map": "jsonb",
            "texts": "text[]",
            "numbers": "numeric[]",
            "revision": "integer",
        },
        "rest": "extra",
    }
    table = TableSettings.model_validate(
        {
            "table": names.table,
            "into": {f"{names.schema}.typed": typed, f"{names.schema}.documents": {}},
        }
    )
    return settings.model_copy(
        update={
            "deployment": names.table,
            "coordination": settings.coordination.model_copy(update={"table": names.lease_table}),
            "target": settings.target.model_copy(update={"control_schema": names.control_schema}),
            "http": settings.http.model_copy(update={"host": "127.0.0.1", "port": 0}),
            "tables": {"selftest": table},
        }
    )
