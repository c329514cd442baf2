"""`replicator forget`: everything of one table goes, on both sides, or nothing does."""

import asyncio
import io
import logging
import os
import sys

import pytest
import structlog

from replicator.coordination.dynamodb_leases import DynamoDBLeases
from replicator.postgres.control.forget_table import BELONGING
from tests.support.bounds import USUAL_SECONDS
from tests.support.command import replicator
from tests.support.control import DEPLOYMENT, stream_arn
from tests.support.endpoints import NAMES, dynamodb_client
from tests.support.warm_start import environment
from tests.support.wide import wide_but

KEPT = {
    "action": "says who did what, this too",
    "worker": "belongs to a process",
    "describe_turn": "belongs to the calls of whoever lists, and says nothing of a table",
    "export": "goes with its snapshot",
    "row_version": "belongs to the number of a target's claim: pruned when that is gone",
    "alembic_version": "belongs to the schema",
}
"""All other tables of the control schema, and why nothing of them is dropped."""
OLD = "2026-01-01T00:00:00.000"
FORGET = ("forget", "--table", "orders", "--yes")
# one emulator is enough: what leases are on each of them is tested elsewhere
pytestmark = pytest.mark.parametrize("dynamodb_endpoint", NAMES[:1], indirect=True)


@pytest.fixture(autouse=True)
def logs(monkeypatch):
    """What the command changes of the process's logs is taken back; nobody is at a terminal."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
async def leases(dynamodb_endpoint, table_name):
    """The lease table, with nothing in it."""
    async with dynamodb_client(dynamodb_endpoint) as client:
        leases = DynamoDBLeases(
            client, lambda _: None, table=table_name, deployment=DEPLOYMENT, worker_id="test"
        )
        await leases.ensure_table()
        yield leases


@pytest.fixture
def config(configure, dynamodb_endpoint, table_name, leases):  # noqa: ARG001 (a table to name)
    return configure("orders", "parts", endpoint_url=dynamodb_endpoint, lease_table=table_name)


@pytest.fixture
async def known(control, leases):
    """Two tables with something of everything."""
    await control.register("orders", "parts")
    for table in ("orders", "parts"):
        await control.generation(table)
        await control.shard(table)
        await control.gap(table, state="accepted")
        await control.letter(table)
        for label in (OLD, "2026-03-01T00:00:00.000"):
            key = leases.key(stream_arn(table, label), "shard-0")
            await leases.create(key, checkpoint="5", parent_id=None)
    await control.connection.execute(
        "insert into public.orders (order_id, extra) values ('a', '{}')"
    )
    return control


async def sources(control, table):
    return [row[0] for row in await control.rows(f"select source from replicator.{table}")]


async def test_everything_of_the_table_goes_and_nothing_of_another(known, leases, config):
    ended = await replicator(*FORGET, "--who", "Ada", "--why", "anew", config=config)

    assert ended.code == 0, ended.err
    for table in ("shard", "gap", "generation", "target_claim", "dead_letter", "table_state"):
        assert await sources(known, table) == ["parts"], table
    assert {lease.key for lease in await leases.all()} == {
        leases.key(stream_arn("parts", label), "shard-0")
        for label in (OLD, "2026-03-01T00:00:00.000")
    }
    assert await known.rows("select count(*) from public.orders") == [(1,)]
    assert await known.actions() == [("orders", "forget", "Ada", "anew")]


async def test_every_table_of_the_control_schema_is_forgotten_or_kept_for_a_reason(known):
    """Whoever adds a table says what becomes of it."""
    tables = await known.rows(
        "select tablename from pg_tables where schemaname = 'replicator' order by 1"
    )
    of_a_source = await known.rows(
        "select c.table_name from information_schema.columns c"
        " join pg_tables t on (t.schemaname, t.tablename) = (c.table_schema, c.table_name)"
        " where c.table_schema = 'replicator' and c.column_name in ('deployment', 'source')"
        " group by 1 having count(*) = 2 order by 1"
    )

    assert [table for (table,) in tables] == sorted([*BELONGING, *KEPT])
    assert [table for (table,) in of_a_source] == sorted([*BELONGING, "action"])


async def test_a_table_that_was_forgotten_leaves_no_column_to_the_next_one(known, config):
    await known.connection.execute(
        "insert into replicator.auto_column (deployment, source, target, attribute, type)"
        f" select '{DEPLOYMENT}', name, 'public.' || name, 'color', 'text'"
        " from unnest(array['orders', 'parts']) as name"
    )

    assert (await replicator(*FORGET, config=config)).code == 0

    assert await sources(known, "auto_column") == ["parts"]


async def test_it_says_what_was_dropped_and_what_happens_next(known, config):
    ended = await replicator(*FORGET, config=config)

    first, second, *following = ended.out.splitlines()
    assert first == ("forgot orders: 1 position, 1 gap, 1 dead letter, 1 claimed target, 2 leases")
    assert second == "  the rows in public.orders stay as they are"
    assert [line.split("  ")[1] for line in following if line.startswith("  replicator")] == [
        "replicator migrate",
        "replicator run",
    ]
    assert "initial_load: stream" in ended.out
    assert len(await known.actions()) == 1


async def test_it_is_refused_while_a_worker_works_on_the_table(known, leases, config):
    await known.connection.execute("update replicator.shard set owner = 'one'")
    await known.worker("one", seen_seconds_ago=30)

    refused = await replicator(*FORGET, config=config)
    paused = await replicator("pause", "--table", "orders", config=config)
    forgotten = await replicator(*FORGET, config=config)

    assert (refused.code, refused.out) == (2, "")
    assert "worked on by one" in refused.err
    assert "`replicator pause --table orders`" in refused.err
    assert (paused.code, forgotten.code) == (0, 0)
    assert len(await leases.all()) == 2


async def test_a_worker_that_was_not_seen_for_a_minute_keeps_nothing(known, config):
    await known.connection.execute("update replicator.shard set owner = 'one'")
    await known.worker("one", seen_seconds_ago=61)

    assert (await replicator(*FORGET, config=config)).code == 0


async def test_without_dynamodb_nothing_is_dropped(known, configure):
    ended = await replicator(*FORGET, config=configure("orders"))  # nobody listens

    assert (ended.code, ended.out) == (4, "")
    assert "nothing was dropped" in ended.err
    for table in ("shard", "gap", "generation", "target_claim", "dead_letter", "table_state"):
        assert await sources(known, table) == ["orders", "parts"], table


async def test_without_a_terminal_it_wants_a_yes(known, config):
    ended = await replicator("forget", "--table", "orders", config=config)

    assert ended.code == 2
    assert "--yes" in ended.err
    assert await sources(known, "shard") == ["orders", "parts"]


@pytest.mark.parametrize(
    ("answer", "code", "left"),
    wide_but(
        "no",
        "yes",
        of={
            "no": ("n\n", 2, ["orders", "parts"]),
            "Ctrl-D": ("\x04", 2, ["orders", "parts"]),
            "yes": ("y\n", 0, ["parts"]),
        },
    ),
)
async def test_at_a_terminal_it_asks(answer, code, left, known, config):
    keyboard, terminal = os.openpty()
    os.write(keyboard, answer.encode())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "replicator", "forget", "--table", "orders"),
        *("--config", str(config)),
        stdin=terminal,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    try:
        async with asyncio.timeout(USUAL_SECONDS):
            _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(keyboard)
        os.close(terminal)

    assert process.returncode == code
    assert b"drops of orders: 1 position" in err
    assert await sources(known, "shard") == left


async def test_a_table_that_left_the_configuration_is_forgotten(
    known, leases, configure, dynamodb_endpoint, table_name
):
    config = configure("parts", endpoint_url=dynamodb_endpoint, lease_table=table_name)

    ended = await replicator(*FORGET, config=config)

    assert ended.code == 0
    assert "not in the configuration" in ended.out
    assert await sources(known, "table_state") == ["parts"]
    assert len(await leases.all()) == 2


async def test_a_second_time_there_is_nothing_to_forget(known, config):
    await replicator(*FORGET, config=config)

    again = await replicator(*FORGET, config=config)

    assert (again.code, len(again.out.splitlines())) == (0, 1)
    assert "nothing to forget" in again.out
    assert len(await known.actions()) == 1


async def test_leases_that_outlived_a_lost_database_are_forgotten(control, leases, config):
    await control.register("orders")
    key = leases.key(stream_arn("orders"), "shard-0")
    await leases.create(key, checkpoint="5", parent_id=None)

    ended = await replicator(*FORGET, config=config)

    assert ended.code == 0
    assert await leases.all() == []


async def test_an_unknown_table_is_answered_with_the_nearest_name(known, config):
    ended = await replicator("forget", "--table", "order", "--yes", config=config)

    assert ended.code == 2
    assert "did you mean orders?" in ended.err
    assert await known.actions() == []
