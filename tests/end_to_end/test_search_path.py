"""A whole deployment in a database whose `public` is full of hostile names: none is looked up."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_poison import put
from tests.support.daemon import Finished
from tests.support.pgbouncer import pgbouncer
from tests.support.traps import lay_traps, own_session, sprung

KEY = {"pk": "S"}
CHILDREN = {"app.lines": {"from": "lines", "position": "line", "columns": {"sku": "text"}}}
COLUMNS = {
    "n": "bigint",
    "total": "numeric(12,2)",
    "at": "timestamptz",
    "day": "date",
    "doc": "jsonb",
    "raw": "bytea",
    "flag": "boolean",
    "tags": "text[]",
}


def entry(table: str) -> dict[str, Any]:
    return {
        "table": table,
        "initial_load": "snapshot",
        "into": {
            "app.orders": {
                "columns": COLUMNS,
                "children": CHILDREN,
                "history": "app.orders_history",
            },
            "app.kept": {"columns": {"n": "bigint"}, "on_delete": "soft", "rest": "rest"},
            "app.wide": {"columns": "auto", "rest": "rest"},
        },
    }


def item(key: str, n: Any, **more: Any) -> dict[str, Any]:
    return {
        "pk": {"S": key},
        "n": {"N": str(n)},
        "total": {"N": "1.50"},
        "at": {"S": "2026-03-01T12:00:00Z"},
        "day": {"S": "2026-03-01"},
        "doc": {"M": {"a": {"L": [{"N": "1"}]}}},
        "raw": {"B": b"\x00\x01"},
        "flag": {"BOOL": True},
        "tags": {"SS": ["a", "b"]},
        "lines": {"L": [{"M": {"sku": {"S": f"sku {n}"}}}]},
        **more,
    }


@pytest.fixture(params=["directly", "behind a pooler"])
def through(request: pytest.FixtureRequest, database: str) -> Iterator[dict[str, str]]:
    """How the deployment reaches the database."""
    if request.param == "directly":
        yield {"dsn": database}
        return
    with pgbouncer(database, sessions=4) as dsn:
        yield {"dsn": dsn, "pooler": "transaction"}


async def sql(stage: Stage, text: str) -> Any:
    connection = await own_session(stage.dsn)
    try:
        return await connection.fetchval(text)
    finally:
        await connection.close()


@one_emulator
@pytest.mark.long
async def test_no_statement_of_a_deployment_looks_a_name_up_in_public(
    stage: Stage, through: dict[str, str]
):
    table = await stage.create_table("orders", KEY)
    await lay_traps(stage.dsn)
    await sql(stage, "create schema app")
    async with stage.deployment({"orders": entry(table)}, **through) as deployment:

        async def does(*words: str, codes: tuple[int, ...] = (0,)) -> Finished:
            done = await deployment.command(*words)
            assert done.code in codes, f"{words}: {done.text}"
            return done

        await does("plan", codes=(0, 1))
        await deployment.migrate()
        await does("check", codes=(0, 1))
        await put(stage, table, *(item(f"k{n}", n) for n in range(20)))
        worker = await deployment.start_ready()

        async def rows(count: int) -> bool:
            found = await sql(stage, "select count(*) from app.orders")
            return bool(found == count)

        await worker.until(lambda: rows(20), what="the snapshot is written")
        await put(stage, table, *(item(f"k{n}", n + 1, note={"S": "new"}) for n in range(10)))
        await stage.client.delete_item(TableName=table, Key={"pk": {"S": "k19"}})
        await put(stage, table, item("bad", "1.5"))
        await worker.until(lambda: rows(19), what="the deletion is written")
        await does("status", "--json", codes=(0, 1))
        await does("pause", "--table", "orders")
        await does("resume", "--table", "orders")
        await sql(stage, "insert into app.orders (pk, n) values ('ghost', 1)")
        await sql(stage, "delete from app.orders where pk = 'k1'")
        await does("verify", "--json", codes=(0, 1))
        await does("explain", "orders", '{"pk": {"S": "k1"}}', codes=(0, 1, 2))
        await does("verify", "--repair", "--json", codes=(0, 1))
        await does("snapshot", "start", "--table", "orders", codes=(0, 2))
        await worker.until(lambda: rows(19), what="the stale row is deleted")
        await does("dead-letters", "list", codes=(0, 1))
        await does("dead-letters", "replay", "--table", "orders", codes=(0, 1))
        await does("gaps", "list", codes=(0, 1))
        assert await worker.stop() == 0
        assert worker.entries("task failed") == []
        letter = await sql(stage, "select min(id) from replicator.dead_letter where state = 'open'")
        await does("dead-letters", "discard", str(letter), "--why", "test")
        await does("forget", "--table", "orders", "--yes", codes=(0, 2))

    assert not await sprung(stage.dsn)
