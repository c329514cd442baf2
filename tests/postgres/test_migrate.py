"""`migrate` on a real server: idempotent, beside others, and never at another's expense."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.errors import ConfigurationError, MigrationDue, SinkBusy
from replicator.postgres.connection.connect import ConnectionSettings, connect
from replicator.postgres.schema import migrate as migrating
from replicator.postgres.schema.control_revisions import head_revision
from replicator.postgres.schema.database_survey import Survey, survey
from replicator.postgres.schema.migrate import Migrated, look, migrate
from tests.support.mappings import mapping, target
from tests.support.waiting import eventually

SCHEMA = "replicator"
WAITING = "select exists (select from pg_locks where relation = 'orders'::regclass and not granted)"
MORE = mapping(target(columns={"total": "numeric(12,2)", "placed": "timestamptz"}))


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(ConnectionSettings(dsn=database))
    await connection.execute("set search_path = public")  # for the test's own tables
    yield connection
    await connection.close()


@pytest.fixture
def settings(database: str) -> ConnectionSettings:
    return ConnectionSettings(dsn=database)


async def run(
    settings: ConnectionSettings,
    *mappings: TableMapping,
    deployment: str = "test",
    schema: str = SCHEMA,
    **others: Any,
) -> Migrated:
    return await migrate(settings, schema, deployment, mappings or (mapping(),), **others)


async def state(connection: asyncpg.Connection, source: str = "orders") -> asyncpg.Record:
    row = await connection.fetchrow(
        "select * from replicator.table_state where source = $1", source
    )
    assert row is not None
    return row


async def add_shard(connection: asyncpg.Connection, position: int | None = None) -> None:
    await connection.execute(
        "insert into replicator.shard (deployment, source, stream_arn, shard_id, listed, state,"
        " epoch, last_sequence_number)"
        " values ('test', 'orders', 'arn', 's', true, 'active', 7, $1)",
        position,
    )


async def epoch(connection: asyncpg.Connection) -> int:
    found: int = await connection.fetchval("select epoch from replicator.shard")
    return found


async def test_a_second_run_does_nothing(settings: ConnectionSettings):
    first = await run(settings)
    second = await run(settings)

    assert [line.split("\n")[0] for line in first.done] == [
        "control schema replicator: created",
        'create table "public"."orders" (',
        "registered table orders",
    ]
    assert second == Migrated((), ())


async def test_many_at_once_do_the_work_once(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    async with asyncio.TaskGroup() as tasks:
        runs = [tasks.create_task(run(settings)) for _ in range(5)]

    done = [line for finished in runs for line in finished.result().done]
    assert len(done) == len(set(done)) == 3
    assert (await state(connection))["mapping_revision"] == 1


async def test_looking_changes_nothing_and_says_what_is_due(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    survey = await look(settings, SCHEMA, "test", [mapping()])

    assert survey.due == [
        f"the control schema does not exist, this version needs {head_revision()}",
        "public.orders is missing",
        "table orders: it is not registered yet",
    ]
    assert await connection.fetchval("select count(*) from pg_class where relname = 'orders'") == 0


async def test_nothing_is_due_after_a_migration_until_the_mapping_changes(
    settings: ConnectionSettings,
):
    await run(settings)

    assert (await look(settings, SCHEMA, "test", [mapping()])).due == []
    assert (await look(settings, SCHEMA, "test", [MORE])).due == [
        "a column of public.orders is missing",
        "table orders: public.orders gets columns: rows that no change touches hold NULL in them "
        "until a backfill",
    ]


async def test_a_changed_mapping_fences_the_workers_that_have_the_old_one(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    await run(settings)
    await add_shard(connection)

    await run(settings)
    assert await epoch(connection) == 7
    await run(settings, MORE)

    assert await epoch(connection) == 8
    assert (await state(connection))["mapping_revision"] == 2
    assert (await state(connection))["mapping_fingerprint"] == MORE.fingerprint


async def test_an_older_mapping_is_told_from_a_newer_one_and_taken_back_to_on_purpose_alone(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    old = mapping()
    await run(settings, old)
    assert (await look(settings, SCHEMA, "test", [MORE])).outdated == ()
    await run(settings, MORE, forwards_only=True)

    [told] = (await look(settings, SCHEMA, "test", [old])).outdated
    assert "newer" in str(told)
    assert (told.remedy or "").startswith("update this configuration")
    with pytest.raises(MigrationDue, match="newer"):
        await run(settings, old, forwards_only=True)
    assert (await state(connection))["mapping_fingerprint"] == MORE.fingerprint

    done = await run(settings, old)
    assert "registered an older mapping again of table orders" in done.done
    assert (await look(settings, SCHEMA, "test", [old])).outdated == ()
    assert (await look(settings, SCHEMA, "test", [MORE])).outdated != ()


async def test_a_history_that_is_added_fences_the_workers_without_it_and_makes_no_row_anew(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    await run(settings, mapping(initial_load="snapshot"))
    await add_shard(connection)
    written_by = (await state(connection))["mapping_xid"]
    with_history = mapping(target(history="public.h"), initial_load="snapshot")

    survey = await look(settings, SCHEMA, "test", [with_history])
    await run(settings, with_history)

    assert [need.kind for need in survey.needs] == ["register"]
    assert await epoch(connection) == 8
    assert (await state(connection))["mapping_fingerprint"] == with_history.fingerprint
    assert (await state(connection))["mapping_xid"] == written_by
    assert await connection.fetchval("select count(*) from replicator.snapshot") == 0


async def test_what_an_earlier_version_registered_asks_for_no_load(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    hidden = mapping(target(nul="strip"), initial_load="snapshot")
    [made] = hidden.targets
    await run(settings, hidden)
    written_by = (await state(connection))["mapping_xid"]
    await connection.execute(
        "update replicator.target_claim set fingerprint = $1", made.former_fingerprint
    )
    await connection.execute("update replicator.table_state set mapping_fingerprint = 'earlier'")

    survey = await look(settings, SCHEMA, "test", [hidden])
    await run(settings, hidden)

    assert made.former_fingerprint != made.fingerprint
    assert [need.kind for need in survey.needs] == ["register"]
    assert (await state(connection))["mapping_xid"] == written_by
    assert await connection.fetchval("select count(*) from replicator.snapshot") == 0
    assert await connection.fetchval("select fingerprint from replicator.target_claim") == (
        made.fingerprint
    )


async def test_how_a_table_is_loaded_is_asked_while_nothing_was_read(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    await run(settings, mapping(initial_load="stream"))
    await add_shard(connection)
    await run(settings, mapping(initial_load="none"))
    assert (await state(connection))["initial_load"] == "none"

    await connection.execute("update replicator.shard set last_sequence_number = 5")
    await run(settings, mapping(initial_load="stream"))

    assert (await state(connection))["initial_load"] == "none"


async def test_a_target_of_another_deployment_is_refused_before_anything_is_touched(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    await run(settings)

    with pytest.raises(ConfigurationError, match=r"claimed by deployment 'test'") as failure:
        await run(settings, MORE, deployment="other")

    assert "forget" in str(failure.value.remedy)
    columns = "select count(*) from pg_attribute where attrelid = 'orders'::regclass and attnum > 0"
    assert await connection.fetchval(columns) == 3


async def test_a_target_that_another_control_schema_claims_is_refused(
    settings: ConnectionSettings,
):
    await run(settings)

    with pytest.raises(ConfigurationError, match="control schema 'replicator'"):
        await run(settings, schema="second")


async def test_two_tables_do_not_share_a_target(settings: ConnectionSettings):
    await run(settings)

    with pytest.raises(ConfigurationError, match="claimed by table 'orders'"):
        await run(settings, mapping(name="others"))


async def test_a_target_that_a_mapping_no_longer_names_may_be_anothers(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    await run(settings, mapping(target(), target("public.second")))

    await run(settings, mapping(target("public.second"), name="others"), mapping())

    claims = await connection.fetch(
        "select target_table, source from replicator.target_claim order by 1"
    )
    assert [tuple(claim) for claim in claims] == [("orders", "orders"), ("second", "others")]


async def test_a_name_does_not_change_its_dynamodb_table_behind_its_positions(
    settings: ConnectionSettings,
):
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
    await run(settings, mapping())
    await run(settings, mapping(table=arn))

    with pytest.raises(ConfigurationError, match="its positions are those of") as failure:
        await run(settings, mapping(table="orders-2"))

    assert "forget --table orders" in str(failure.value.remedy)


ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/app"


def at(name: str, arn: str | None = ARN, **facts: Any) -> TableMapping:
    return replace(mapping(target(f"public.{name}"), name=name, **facts), table_arn=arn)


async def test_a_dynamodb_table_is_read_by_one_entry_whatever_it_is_called(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    """By its ARN and by its name, or by a name in two regions of which one is the other."""
    entries = [at("customers", table="app"), at("orders", table=ARN)]

    [conflict] = (await look(settings, SCHEMA, "test", entries)).conflicts
    with pytest.raises(ConfigurationError, match="are one DynamoDB table") as failure:
        await run(settings, *entries)

    assert str(failure.value) == str(conflict)
    assert "one entry with several targets" in str(failure.value.remedy)
    assert await connection.fetchval("select count(*) from pg_class where relname = 'orders'") == 0


async def test_an_entry_that_was_renamed_does_not_read_the_table_beside_its_old_name(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    await run(settings, at("orders"))
    with pytest.raises(ConfigurationError, match="which is registered as 'orders'") as failure:
        await run(settings, at("customers"))
    assert "forget --table orders" in str(failure.value.remedy)

    # one that was registered before ARNs were noted is known by its stream
    await connection.execute("update replicator.table_state set table_arn = null")
    await run(settings, at("customers", f"{ARN}2"))
    await connection.execute(
        "update replicator.table_state set stream_arn = $1 where source = 'orders'",
        f"{ARN}/stream/2026-03-01T00:00:00.000",
    )
    with pytest.raises(ConfigurationError, match="which is registered as 'orders'"):
        await run(settings, at("others"))


async def test_a_lock_that_does_not_come_is_given_up_and_tried_again(
    settings: ConnectionSettings,
    connection: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(migrating, "LOCK_WAIT_MILLISECONDS", 50)
    monkeypatch.setattr(migrating, "PAUSE_SECONDS", 0.05)
    await run(settings)
    holder = connection.transaction()
    await holder.start()
    await connection.execute("lock table orders in access share mode")

    monkeypatch.setattr(migrating, "ATTEMPTS", 2)
    with pytest.raises(SinkBusy, match="not to be had in 2 attempts"):
        await run(settings, MORE)
    monkeypatch.setattr(migrating, "ATTEMPTS", 1000)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(run(settings, MORE))
        await eventually(lambda: connection.fetchval(WAITING), what="the other session waits")
        await holder.rollback()

    assert "registered the changed mapping of table orders" in waiting.result().done


async def test_the_role_that_runs_gets_its_rights_from_the_one_that_migrates(
    settings: ConnectionSettings, connection: asyncpg.Connection, database: str
):
    role = f"runner_{await connection.fetchval('select pg_backend_pid()')}"
    await connection.execute(f"create role {role} login")
    try:
        runner = ConnectionSettings(dsn=database.replace("postgres@", f"{role}@"))
        wanted = mapping(target("shop.orders", history="shop.orders_history"))

        done = await run(settings, wanted, runner=runner)
        again = await run(settings, wanted, runner=runner)
        survey = await look(runner, SCHEMA, "test", [wanted])

        assert f'grant usage on schema "shop" to "{role}"' in done.done
        assert again.done == ()
        assert survey.findings == ()
        assert survey.due == []
        assert not survey.control_rights_lacking
    finally:
        await connection.execute(f"drop owned by {role}; drop role {role}")


async def test_a_role_that_may_not_create_says_so(connection: asyncpg.Connection, database: str):
    role = f"weak_{await connection.fetchval('select pg_backend_pid()')}"
    await connection.execute(f"create role {role} login")
    try:
        weak = ConnectionSettings(dsn=database.replace("postgres@", f"{role}@"))
        with pytest.raises(ConfigurationError, match="may not create") as failure:
            await run(weak)
        assert f'to "{role}"; or name' in str(failure.value.remedy)
        assert "migrate_dsn" in str(failure.value.remedy)
    finally:
        await connection.execute(f"drop role {role}")


async def test_an_unfit_table_is_told_and_the_rest_is_done(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    await connection.execute("create table orders (order_id integer primary key, extra jsonb)")

    done = await run(settings)

    assert [finding.message.split(",")[0] for finding in done.findings] == [
        "the column 'order_id' has the type integer"
    ]
    assert done.done[-1] == "registered table orders"


async def test_a_changed_mapping_that_a_target_does_not_fit_leaves_its_workers_be(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    """Registering it would stop a table that is well; the other tables are migrated."""
    other = mapping(target("public.others"), name="others")
    await run(settings, mapping(initial_load="snapshot"), other)
    await add_shard(connection)
    before = await state(connection)
    text = mapping(
        target(columns={"total": "text", "placed": "timestamptz"}, history="public.orders_history"),
        initial_load="snapshot",
    )
    more = mapping(target("public.others", columns={"n": "bigint"}), name="others")

    survey = await look(settings, SCHEMA, "test", [text, more])
    done = await run(settings, text, more)

    assert [statement.table for statement in survey.statements] == ["public.others"]
    assert [need.source for need in survey.needs] == ["orders", "others"]
    [(source, finding)] = done.refused
    assert (source, finding.message.split(",")[0]) == (
        "orders",
        "the column 'total' has the type numeric(12",
    )
    assert finding in done.findings
    assert (await state(connection)) == before
    assert await epoch(connection) == 7
    assert await connection.fetchval("select count(*) from replicator.snapshot") == 0
    assert await connection.fetchval("select to_regclass('orders_history')") is None
    columns = "select count(*) from pg_attribute where attrelid = 'orders'::regclass and attnum > 0"
    assert await connection.fetchval(columns) == 3
    assert (await state(connection, "others"))["mapping_fingerprint"] == more.fingerprint

    await connection.execute("alter table orders alter column total type text")
    mended = await run(settings, text, more)
    assert mended.refused == ()
    assert mended.done[-1] == "registered the changed mapping of table orders"
    assert await epoch(connection) == 8


async def test_a_target_is_not_taken_over_from_a_table_whose_changed_mapping_does_not_fit(
    settings: ConnectionSettings, connection: asyncpg.Connection
):
    await run(settings, mapping(target(), target("public.second")))
    text = mapping(target(columns={"total": "text"}))
    heir = mapping(target("public.second"), name="others")

    done = await run(settings, heir, text)
    assert [source for source, _ in done.refused] == ["orders", "others"]
    assert done.done == ()
    claims = "select distinct source from replicator.target_claim"
    assert await connection.fetchval(claims) == "orders"

    await connection.execute("alter table orders alter column total type text")
    assert (await run(settings, heir, text)).done == (
        "registered table others",
        "registered the changed mapping of table orders",
    )


async def test_the_role_that_runs_gets_its_rights_before_a_changed_mapping_is_judged(
    settings: ConnectionSettings, connection: asyncpg.Connection, database: str
):
    await run(settings)
    role = f"runner_{await connection.fetchval('select pg_backend_pid()')}"
    await connection.execute(f"create role {role} login")
    try:
        runner = ConnectionSettings(dsn=database.replace("postgres@", f"{role}@"))
        changed = mapping(target(columns={"n": "bigint"}, history="public.orders_history"))
        done = await run(settings, changed, runner=runner)
    finally:
        await connection.execute(f"drop owned by {role}; drop role {role}")

    assert done.refused == ()
    assert done.findings == ()
    assert done.done[-1] == "registered the changed mapping of table orders"


async def test_many_new_tables_are_made_in_few_steps(
    settings: ConnectionSettings, monkeypatch: pytest.MonkeyPatch
):
    """Each step surveys all tables, so that a step for each took the square of the time."""
    surveys = 0

    async def counted(*args: Any, **others: Any) -> Survey:
        nonlocal surveys
        surveys += 1
        return await survey(*args, **others)

    monkeypatch.setattr(migrating, "survey", counted)
    many = [
        mapping(target(f"fresh.t{n}", history=f"fresh.h{n}"), name=f"t{n:03}") for n in range(60)
    ]

    done = await run(settings, *many)

    assert done.done.count("registered table t059") == 1
    assert len([line for line in done.done if line.startswith("create table")]) == 120
    assert surveys <= 8
    assert (await run(settings, *many)).done == ()


async def test_behind_a_pooler_it_works_the_same(database: str):
    pooled = ConnectionSettings(dsn=database, pooler="transaction")

    assert len((await run(pooled)).done) == 3
    assert (await run(pooled)).done == ()
