"""Whatever would change, drop or hide rows is seen by the statement that would write them."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from replicator.core.planning.plan_batch import plan_batch
from replicator.core.stream.claims import Advance
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream_record import Position
from replicator.errors import SchemaMismatch
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.control_schema_names import ControlSchema
from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.ordering_mode_switch import switch_ordering_mode
from replicator.postgres.write.dead_letter_replay import Replay
from replicator.postgres.write.lambda_writer import Deliveries
from tests.postgres.loaded import SHARD, Loaded, registered
from tests.support.builders import NOON, STREAM, record, table_mapping, target
from tests.support.specs import child_spec, column_spec
from tests.support.waiting import eventually

FUNCTION = (
    "create function drops() returns trigger language plpgsql as $$ begin return null; end $$"
)
BEFORE = "create trigger drops before {events} on {table} for each row execute function drops()"
IN_BETWEEN = {
    "a trigger drops what is written": (
        BEFORE.format(events="insert or update", table="public.t"),
        "public.t: the trigger 'drops' runs before each row",
        "drop trigger drops on public.t",
    ),
    "a trigger drops deletions alone": (
        BEFORE.format(events="delete", table="public.t"),
        "public.t: the trigger 'drops' runs before each row",
        "alter table public.t disable trigger drops",
    ),
    "a trigger of a child table": (
        BEFORE.format(events="insert", table="public.prices"),
        "public.prices: the trigger 'drops'",
        "drop trigger drops on public.prices",
    ),
    "a trigger of the history": (
        BEFORE.format(events="insert", table="public.past"),
        "public.past: the trigger 'drops'",
        "drop trigger drops on public.past",
    ),
    "a rule": (
        "create rule tells as on delete to public.t do also select 1",
        "public.t: has rules",
        "drop rule tells on public.t",
    ),
}
"""What comes in between, the words of `check`, and what takes it away."""
PRICES = child_spec("public.prices", "prices", value=column_spec("price", "price", "numeric"))
MAPPING = table_mapping(target(children=(PRICES,), history="public.past"))


async def by_the_stream(it: Loaded, number: int) -> None:
    await it.apply(record(number, "a", n={"N": str(number)}))


async def by_the_stream_beside_a_snapshot(it: Loaded, number: int) -> None:
    if not any(each.state == "running" for each in await it.known()):
        await it.begin()
    await by_the_stream(it, number)


async def by_lambda(it: Loaded, number: int) -> None:
    async with it.database.transaction("switching") as connection:
        await switch_ordering_mode(
            connection,
            ControlSchema("replicator"),
            "test",
            it.name,
            ordering=OrderingMode.LAMBDA,
            when=[OrderingMode.FENCE, OrderingMode.LAMBDA],
        )
    deliveries = Deliveries(it.database, it.mapping)
    delivery = await deliveries.read(STREAM)
    plan = plan_batch([record(number, "a", n={"N": str(number)})], it.mapping, read_at=0.0)
    moved = Advance(None, Position(number), Position(number), NOON, NOON)
    await deliveries.apply(plan, claim=delivery.claim, advance=moved)


WRITERS = (by_the_stream, by_the_stream_beside_a_snapshot, by_lambda)


async def position(it: Loaded) -> object:
    [[at]] = await it.sql(
        f"select last_sequence_number::text from replicator.shard where shard_id = '{SHARD}'"
    )
    return at


async def versions(it: Loaded) -> object:
    return await it.sql("select sequence_number::text from replicator.row_version order by 1")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("between", IN_BETWEEN.values(), ids=IN_BETWEEN)
async def test_a_batch_that_meets_it_writes_nothing_and_says_what_check_says(
    migrated_database: str,
    between: tuple[str, str, str],
    write: Callable[[Loaded, int], Awaitable[None]],
):
    made, words, mended = between
    it = await registered(migrated_database, MAPPING)
    await write(it, 1)
    before = await position(it), await versions(it)
    await it.sql(FUNCTION)
    await it.sql(made)

    with pytest.raises(SchemaMismatch, match=words) as failed:
        await write(it, 2)

    assert failed.value.remedy is not None
    assert (await position(it), await versions(it)) == before
    assert await it.sql("select pk, n from public.t") == [("a", 1)]
    await it.sql(mended)
    await write(it, 2)
    assert await it.sql("select pk, n from public.t") == [("a", 2)]
    assert await it.sql("select count(*) from public.past") == [(2,)]
    await it.database.close()


async def test_a_page_of_a_snapshot_and_a_sweep_that_meet_it_write_nothing(migrated_database: str):
    it = await registered(migrated_database, table_mapping(target()))
    await it.sql("insert into public.t values ('ghost', 0)")
    snapshot = await it.begin(segments=1)
    await it.sql(FUNCTION)
    await it.sql(BEFORE.format(events="insert or delete", table="public.t"))
    scan = await it.claim(snapshot)
    with pytest.raises(SchemaMismatch, match="'drops' runs before each row"):
        await it.load(scan, "a")

    await it.sql("alter table public.t disable trigger drops")
    await it.load(scan, "a")
    await it.sql("alter table public.t enable trigger drops")
    sweep = await it.claim(snapshot, 1)
    with pytest.raises(SchemaMismatch, match="'drops' runs before each row"):
        await it.sweep(sweep, "ghost")

    await it.sql("drop trigger drops on public.t")
    await it.sweep(sweep, "ghost")
    assert await it.sql("select pk from public.t") == [("a",)]
    await it.database.close()


async def test_a_letter_that_is_replayed_through_it_stays_open(migrated_database: str):
    it = await registered(migrated_database, table_mapping(target()))
    await it.apply(record(1, "a", n={"S": "one"}))
    await it.sql(
        "update replicator.dead_letter set new_image = replace(new_image, '\"S\"', '\"N\"')"
    )
    await it.sql("update replicator.dead_letter set new_image = replace(new_image, 'one', '1')")
    await it.sql(FUNCTION)
    await it.sql(BEFORE.format(events="insert", table="public.t"))

    async def replay() -> list[str]:
        numbers = [
            int(str(row[0])) for row in await it.sql("select id from replicator.dead_letter")
        ]
        tried = await Replay(it.database).replay(it.mapping, numbers, who="ada", why=None)
        return [each.outcome for each in tried]

    with pytest.raises(SchemaMismatch, match="'drops' runs before each row"):
        await replay()

    assert await it.sql("select state from replicator.dead_letter") == [("open",)]
    await it.sql("drop trigger drops on public.t")
    assert await replay() == ["replayed"]
    assert await it.sql("select pk, n from public.t") == [("a", 1)]
    await it.database.close()


async def test_a_trigger_that_commits_while_the_statement_waits_for_its_table_is_seen(
    migrated_database: str,
):
    """The statement has its snapshot only when it has its locks."""
    it = await registered(migrated_database, table_mapping(target()))
    await by_the_stream(it, 1)  # the statement is prepared, and its plan is there
    await it.sql(FUNCTION)
    someone = await asyncpg.connect(migrated_database)
    transaction = someone.transaction()
    await transaction.start()
    await someone.execute(BEFORE.format(events="insert or update", table="public.t"))
    writing = asyncio.create_task(by_the_stream(it, 2))

    async def waits() -> bool:
        return bool(
            await it.sql(
                "select from pg_locks where relation = 'public.t'::regclass and not granted"
            )
        )

    await eventually(waits, what="the batch waits for its table")
    await transaction.commit()

    with pytest.raises(SchemaMismatch, match="'drops' runs before each row"):
        await writing
    await someone.close()
    await it.database.close()


async def test_a_trigger_of_a_partition_alone_is_seen(migrated_database: str):
    it = await registered(migrated_database, table_mapping(target()))
    await it.sql("drop table public.t")
    for statement in (
        'create table public.t (pk text collate "C" primary key, n bigint) partition by hash (pk)',
        "create table public.t_0 partition of public.t for values with (modulus 1, remainder 0)",
        FUNCTION,
        BEFORE.format(events="insert", table="public.t_0"),
    ):
        await it.sql(statement)

    with pytest.raises(SchemaMismatch, match=r"'drops' of the partition public\.t_0 runs before"):
        await by_the_stream(it, 1)
    await it.database.close()


async def test_row_security_that_hides_rows_from_the_role_is_seen(migrated_database: str):
    it = await registered(migrated_database, table_mapping(target()))
    await by_the_stream(it, 1)
    role = f"writer_{migrated_database.rpartition('_')[2]}"
    for statement in (
        f"create role {role} login",
        f"grant usage on schema public, replicator to {role}",
        f"grant all on all tables in schema public, replicator to {role}",
        "alter table public.t enable row level security",
    ):
        await it.sql(statement)
    settings = ConnectionSettings(dsn=migrated_database.replace("postgres@", f"{role}@"))
    writer = Database(settings, deployment="test", control_schema="replicator", pool_size=2)
    try:
        with pytest.raises(SchemaMismatch, match="has row security that applies to the role"):
            await Loaded(writer, it.mapping).apply(record(2, "a"))

        assert await position(it) == "1"
        await it.sql(f"alter role {role} bypassrls")
        await writer.discard()
        await Loaded(writer, it.mapping).apply(record(2, "a"))
        assert await it.sql("select pk from public.t") == []
    finally:
        await writer.close()
        await it.sql(f"drop owned by {role}")
        await it.sql(f"drop role {role}")
        await it.database.close()


async def test_what_interferes_with_nothing_is_let_through(migrated_database: str):
    it = await registered(migrated_database, MAPPING)
    for statement in (
        FUNCTION,
        "create trigger afterwards after insert or update on public.t"
        " for each row execute function drops()",
        "create trigger whole before insert on public.t"
        " for each statement execute function drops()",
        BEFORE.format(events="insert", table="public.t"),
        "alter table public.t disable trigger drops",
        "create table public.of_others (pk text)",
        BEFORE.format(events="insert", table="public.of_others"),
    ):
        await it.sql(statement)

    await by_the_stream(it, 1)

    assert await it.sql("select pk, n from public.t") == [("a", 1)]
    await it.database.close()
