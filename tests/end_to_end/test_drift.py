"""Attributes that nothing takes are named by `status`, whoever met them, and forgotten in time."""

import json
from typing import Any

import asyncpg

from replicator.postgres.drift import ATTRIBUTES_MAX
from tests.end_to_end.conftest import Stage, one_emulator

pytestmark = one_emulator


async def test_status_names_what_nothing_takes(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    target = {"columns": {"total": "numeric"}, "rest": None}
    entry = {"table": table, "initial_load": "stream", "into": {"public.orders": target}}

    async def put(key: str, **attributes: str) -> None:
        item = {"pk": {"S": key}} | {name: {"S": text} for name, text in attributes.items()}
        await stage.client.put_item(TableName=table, Item=item)

    async with stage.deployment({"orders": entry}) as deployment:

        async def drift() -> dict[str, int]:
            document: dict[str, Any] = json.loads(
                (await deployment.command("status", "--json")).stdout
            )
            names: dict[str, int] = document["tables"][0]["drift"]
            return names

        await deployment.migrate()
        await put("A-1", hue="red", size="XL")
        await put("A-2", hue="blue")
        first = await deployment.run_until_caught_up()
        assert first.code == 0, first.tail()
        assert await drift() == {"public.orders.hue": 2, "public.orders.size": 1}

        await put("A-3", **{f"made-up-{number}": "x" for number in range(3 * ATTRIBUTES_MAX)})
        await put("A-4", hue="green")
        second = await deployment.run_until_caught_up()
        found = await drift()
        assert found["public.orders.hue"] == 3, second.tail()
        assert ATTRIBUTES_MAX / 2 < len(found) <= ATTRIBUTES_MAX

        connection = await asyncpg.connect(stage.dsn)
        await connection.execute(
            "update replicator.drift set last_seen = last_seen - interval '25 hours'"
        )
        await connection.close()
        assert await drift() == {}
