"""One scripted table and its target, watched by triggers: what every fault is tried on."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from replicator.core.status import table_verdict
from tests.support import checker
from tests.support.bounds import USUAL_SECONDS, lease
from tests.support.comparison import Rows, assert_equal, differences, read_rows
from tests.support.daemon import Deployment, Worker, brought_about, configuration
from tests.support.load import Load
from tests.support.scripted_streams import ScriptedStreams, Table, scripted_streams
from tests.support.stream_builders import item
from tests.support.waiting import eventually

STOPPED = """
  from pg_locks
 where locktype = 'advisory' and objid = 4711 and not granted
   and database = (select oid from pg_database where datname = current_database())
"""
"""Sessions that wait in `stopped_inside`; the server has other databases and other locks."""
STATEMENT = "fence as"
"""A part of the statement that applies a batch."""
FINISHING = "state = 'done', done_at"
"""A part of the statement that ends a shard."""
NAMED_SECONDS = max(
    seconds for name, seconds in vars(table_verdict).items() if name.endswith("_SECONDS")
)
"""`status` names nothing that is younger than what the diagnosis allows for it."""
UNHEARD_HOURS = 0.2
WORKERS_UNHEARD = (
    f"update replicator.worker set seen_at = seen_at - interval '{UNHEARD_HOURS} hours',"
    f" told_at = told_at - interval '{UNHEARD_HOURS} hours'"
)
"""No worker was heard of for so long: for those that write their row no more."""
SEEN = "select id, seen_at from replicator.worker"
SHARD_TIMES = (
    *("safe_at", "head_at", "polled_at", "last_record_at"),
    *("found_at", "claimed_at", "done_at"),
)
STEPS = """
create function watch.stop() returns trigger language plpgsql as $$
begin
    if new.payload like 'stop%' then
        perform pg_advisory_xact_lock_shared(4711);
    end if;
    return new;
end $$;
create trigger stop after insert or update on {table} for each row execute function watch.stop();
"""


@dataclass(frozen=True, slots=True)
class Shard:
    """What the control schema says of a shard."""

    state: str
    epoch: int
    owner: str | None
    position: int | None


@dataclass(frozen=True, slots=True)
class Beside:
    """A table of the same deployment that no trigger watches, with an entry of its own."""

    key: Mapping[str, str]
    entry: Mapping[str, Any]
    shards: Any = 1


@dataclass(slots=True)
class Replica:
    """A deployment of scripted tables; the first is `table`, called `orders`."""

    streams: ScriptedStreams
    dsn: str
    deployment: Deployment
    tables: dict[str, Table]
    lease_endpoint: str
    loads: dict[str, Load] = field(default_factory=dict)

    @property
    def table(self) -> Table:
        return self.tables["orders"]

    @property
    def load(self) -> Load:
        return self.loads["orders"]

    @property
    def lease_table(self) -> str:
        return str(self.deployment.settings["coordination"]["table"])

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration of `orders`."""
        entry: dict[str, Any] = self.deployment.settings["tables"]["orders"]
        return entry

    async def rows(self, name: str = "orders") -> Rows:
        return await read_rows(self.dsn, f"public.{name}", key=("pk",))

    async def equal(
        self, *workers: Worker, seconds: float = USUAL_SECONDS, name: str = "orders"
    ) -> None:
        """Wait until the target is as the scripted table says; fail with what differs."""

        def expected() -> Rows:
            return checker.expected_rows(self.tables[name].all_items())

        async def same() -> bool:
            return not differences(expected(), await self.rows(name))

        try:
            await brought_about(
                same, what="source and target are equal", by=workers, seconds=seconds
            )
        except AssertionError as error:
            try:
                assert_equal(expected(), await self.rows(name))
            except AssertionError as different:
                raise AssertionError(f"{different}\n{error}") from None

    async def log(self) -> checker.Log:
        return await checker.read_log(self.dsn)

    async def sql(self, statement: str, *values: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    async def execute(self, statements: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statements)
        finally:
            await connection.close()

    async def shards(self, name: str = "orders") -> dict[str, Shard]:
        found = await self.sql(
            "select shard_id, state, epoch, owner, last_sequence_number::text as position"
            " from replicator.shard where source = $1",
            name,
        )
        return {
            row["shard_id"]: Shard(
                row["state"],
                row["epoch"],
                row["owner"],
                None if row["position"] is None else int(row["position"]),
            )
            for row in found
        }

    async def shard(self, number: int) -> Shard | None:
        return (await self.shards()).get(self.table.shard_id(number))

    async def gaps(self, state: str = "open") -> list[asyncpg.Record]:
        return await self.sql("select * from replicator.gap where state = $1 order by id", state)

    async def until(
        self, worker: Worker, what: str, condition: Any, seconds: float = USUAL_SECONDS
    ) -> Any:
        """Wait until an awaited condition is true."""
        return await worker.until(condition, what=what, seconds=seconds)

    async def claimed_by_another(
        self, worker: Worker, number: int, before: Shard, *, seconds: float = USUAL_SECONDS
    ) -> None:
        """Wait until the shard has a newer epoch and another owner than `before`."""

        async def claimed() -> bool:
            now = await self.shard(number)
            return (
                now is not None
                and now.epoch > before.epoch
                and now.owner not in (None, before.owner)
            )

        await worker.until(claimed, what="the heir claims the shard", seconds=seconds)

    async def looks(self, worker: Worker, count: int) -> None:
        """Wait until all workers together have looked so many times more; four are a lease long.

        A worker says twice between two looks that it looks.
        """
        seen: dict[str, datetime] = {}
        told = 0

        async def enough() -> bool:
            nonlocal seen, told
            now = {row["id"]: row["seen_at"] for row in await self.sql(SEEN)}
            told += sum(at != seen.get(worker_id, at) for worker_id, at in now.items())
            seen = now
            return told >= 2 * count

        await worker.until(enough, what=f"{count} more looks at leases")

    async def asked(
        self, worker: Worker, operation: str, count: int, *, table: str | None = None
    ) -> None:
        """Wait until the scripted server has got so many more calls of it."""
        made = self.streams.calls(operation, table=table)
        since = made[-1].number if made else 0

        async def enough() -> bool:
            return len(self.streams.calls(operation, table=table, since=since)) >= count

        await worker.until(enough, what=f"{count} more calls of {operation}")

    async def applied(self, worker: Worker, key: str, *, seconds: float = USUAL_SECONDS) -> None:
        """Wait until an item has a row."""

        async def there() -> bool:
            return (key,) in await self.rows()

        await worker.until(there, what=f"{key} has a row", seconds=seconds)

    @asynccontextmanager
    async def stopped_inside(self) -> AsyncIterator[asyncpg.Connection]:
        """Statements that write a row whose payload begins with `stop` wait inside, until the end.

        Gives the connection that holds them.
        """
        await self.execute(STEPS.format(table="public.orders"))
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute("select pg_advisory_lock(4711)")
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def stuck_inside(self, worker: Worker) -> AsyncIterator[Shard]:
        """The worker's transaction stands still, until the end; gives its shard as it was."""
        self.load.put("before")
        await self.equal(worker)
        async with self.stopped_inside():
            before = await self.shard(0)
            assert before is not None
            self.table.put(item("inside", n=1000, payload="stop here"))
            await worker.until(self.someone_waits_inside, what="the statement waits inside")
            yield before

    async def someone_waits_inside(self) -> bool:
        """Whether a statement waits in `stopped_inside`."""
        found = await self.sql(f"select 1 {STOPPED}")
        return bool(found)

    async def end_who_waits_inside(self) -> None:
        """Its server goes with a killed worker, or would finish what it was told."""
        await self.sql(f"select pg_terminate_backend(pid) {STOPPED}")

        async def gone() -> bool:
            return not await self.someone_waits_inside()

        await eventually(gone, what="nobody waits inside")

    async def age(self, hours: float) -> None:
        """Make all that the control schema remembers older, as if nobody had run for so long."""
        shift = f"- make_interval(secs => {hours * 3600})"
        sets = ", ".join(f"{name} = {name} {shift}" for name in SHARD_TIMES)
        await self.execute(
            f"update replicator.shard set {sets};"
            f"update replicator.table_state set start_at = start_at {shift};"
            f"update replicator.generation set label_at = label_at {shift},"
            f" found_at = found_at {shift}"
        )


@asynccontextmanager
async def replica(
    *,
    lease_endpoint: str,
    dsn: str,
    directory: Path,
    name: str,
    tables: Mapping[str, Any] | Sequence[str] = ("orders",),
    shards: Any = 1,
    worker_dsn: str | None = None,
    hours_behind: float = 0,
    options: Mapping[str, Any] | None = None,
    lease_seconds: float = lease(1.0),
    beside: Mapping[str, Beside] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AsyncIterator[Replica]:
    """Scripted tables, a migrated database with triggers, no worker yet.

    `settings` are laid over the configuration.
    """
    async with await scripted_streams(forward=lease_endpoint, hours_behind=hours_behind) as streams:
        scripted = {each: streams.table(each, shards=shards) for each in tables}
        configured = {
            each: {
                "table": each,
                "initial_load": "stream",
                "into": {f"public.{each}": {"columns": checker.CONFIGURED, "rest": None}},
                **(options or {}),
            }
            for each in tables
        }
        for each, other in (beside or {}).items():
            scripted[each] = streams.table(each, key=other.key, shards=other.shards)
            configured[each] = {"table": each, "initial_load": "stream", **other.entry}
        whole = configuration(
            endpoint_url=streams.endpoint_url,
            dsn=dsn,
            tables=configured,
            deployment=name,
            lease_seconds=lease_seconds,
        )
        async with Deployment(directory, {**whole, **(settings or {})}) as deployment:
            await deployment.migrate()
            await checker.install(dsn, [f"public.{each}" for each in tables])
            deployment.settings["target"]["dsn"] = worker_dsn or dsn
            loads = {each: Load(scripted[each]) for each in tables}
            try:
                yield Replica(streams, dsn, deployment, scripted, lease_endpoint, loads)
            finally:
                streams.heal()
                for worker in deployment.workers:
                    worker.kill()
