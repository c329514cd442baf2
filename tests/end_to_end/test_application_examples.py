"""The examples of docs/applications.md, run as they stand there."""

import ast
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any

import asyncpg
import yaml

from tests.docs.blocks import ROOT, blocks
from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.daemon import Worker

PAGE = ROOT / "docs/applications.md"
FRESHNESS = "How fresh a table is"
WAIT = "Wait until my write is there"
WELCOME = "A welcome e-mail for each new customer with an address"
pytestmark = one_emulator


def examples(heading: str, language: str) -> list[str]:
    return [b.text for b in blocks(PAGE) if (b.heading, b.info) == (heading, language)]


async def run_python(text: str, names: dict[str, Any]) -> None:
    """Run an example with these names, to which it adds its own."""
    code = compile(text, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, names)  # noqa: S307 (an example of ours)
    if asyncio.iscoroutine(running):
        await running


@asynccontextmanager
async def replicated(
    stage: Stage, name: str, target: dict[str, Any]
) -> AsyncIterator[tuple[str, Worker, asyncpg.Connection]]:
    """A table with a worker, and a connection to its target."""
    table = await stage.create_table(name, {"pk": "S"})
    entry = {"table": table, "initial_load": "stream", "into": {f"public.{name}": target}}
    async with stage.deployment({name: entry}) as deployment:
        await deployment.migrate()
        worker = await deployment.start_ready()
        postgres = await asyncpg.connect(stage.dsn)
        try:
            yield table, worker, postgres
        finally:
            await postgres.close()


async def test_an_application_waits_until_its_write_is_there(stage: Stage):
    definition, use = examples(WAIT, "python")
    columns = {"columns": {"total": "numeric"}}
    async with replicated(stage, "orders", columns) as (table, worker, postgres):
        names = {"dynamodb": stage.client, "postgres": postgres, "orders": table, "UTC": UTC}

        await run_python(definition, names)
        await run_python(use, names)

        assert names["total"] == 42, worker.tail()
        for text in examples(FRESHNESS, "sql"):
            await postgres.execute(text.replace("shop_reader", f"{stage.prefix}_reader"))
        await postgres.execute(
            f"drop owned by {stage.prefix}_reader; drop role {stage.prefix}_reader"
        )


async def test_every_column_of_freshness_is_documented(stage: Stage):
    async with replicated(stage, "orders", {}) as (_, _, postgres):
        columns = await postgres.fetch(
            "select column_name from information_schema.columns"
            " where (table_schema, table_name) = ('replicator', 'freshness')"
        )
    section = PAGE.read_text("utf-8").partition(f"## {FRESHNESS}")[2].partition("\n## ")[0]
    documented = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]

    assert {column["column_name"] for column in columns} == set(documented)


async def test_each_new_customer_with_an_address_is_welcomed_once(stage: Stage):
    [configuration] = examples(WELCOME, "yaml")
    [target] = yaml.safe_load(configuration)["tables"]["customers"]["into"].values()
    create, find, index = examples(WELCOME, "sql")
    [definition] = examples(WELCOME, "python")
    sent: list[str] = []

    async def send(email: str) -> None:
        sent.append(email)

    async with replicated(stage, "customers", target) as (table, worker, postgres):
        names: dict[str, Any] = {}
        await run_python(definition, names)
        await postgres.execute(create + index)

        async def put(key: str, **attributes: str) -> None:
            item = {"pk": {"S": key}} | {name: {"S": text} for name, text in attributes.items()}
            await stage.client.put_item(TableName=table, Item=item)

        async def welcome() -> None:
            await postgres.execute(find)
            await names["send_welcomes"](postgres, send)

        async def recorded(changes: int) -> None:
            async def there() -> bool:
                count = await postgres.fetchval("select count(*) from customers_history")
                return bool(count == changes)

            await worker.until(there, what=f"{changes} changes")

        await put("1", name="Ada", email="ada@example.com")
        await put("2", name="Bob")
        await recorded(2)
        await welcome()
        assert sent == ["ada@example.com"]

        await put("1", name="Ada", email="ada@example.net")
        await put("2", name="Bob", email="bob@example.com")
        await put("3", name="Cy", email="")
        await recorded(5)
        await welcome()
        await welcome()
        assert sent == ["ada@example.com", "bob@example.com"]
