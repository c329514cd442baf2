"""Attributes that nothing takes are named by `status`, whoever met them, and forgotten in time."""

from typing import Any

import asyncpg

from replicator.postgres.control.attribute_drift import ATTRIBUTES_MAX
from tests.end_to_end.conftest import Stage, one_emulator

pytestmark = one_emulator


async def test_status_names_what_nothing_takes(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    target = {"columns": {"total": "numeric"}, "rest": None}
    entry = {"table": table, "initial_load": "stream", "into": {"public.orders": target}}

    async def put(key: str, **attributes: str | int) -> None:
        item: dict[str, Any] = {"pk": {"S": key}}
        for name, value in attributes.items():
            item[name] = {"S" if isinstance(value, str) else "N": str(value)}
        await stage.client.put_item(TableName=table, Item=item)

    async with stage.deployment({"orders": entry}) as deployment:
        await deployment.migrate()
        await put("A-1", hue="red", size="XL")
        await put("A-2", hue="blue")
        worker = await deployment.start_ready()

        async def drift() -> dict[str, int]:
            names: dict[str, int] = (await worker.table("orders")).get("drift", {})
            return names

        async def both() -> bool:
            return await drift() == {"public.orders.hue": 2, "public.orders.size": 1}

        await worker.until(both, what="both attributes are named")
        before = (await worker.shown_table("orders"))["drift_seen"]
        assert {name: seen["types"] for name, seen in before.items()} == {
            "public.orders.hue": ["S"],
            "public.orders.size": ["S"],
        }

        await put("A-2", size=44)

        async def two_types() -> bool:
            seen = (await worker.shown_table("orders"))["drift_seen"]["public.orders.size"]
            return sorted(seen["types"]) == ["N", "S"]

        await worker.until(two_types, what="the other type is known too")
        after = (await worker.shown_table("orders"))["drift_seen"]["public.orders.size"]
        assert after["first_seen"] == before["public.orders.size"]["first_seen"]
        told = await deployment.command("status")
        assert "public.orders.hue (S, since " in told.text

        await put("A-3", **{f"made-up-{number}": "x" for number in range(3 * ATTRIBUTES_MAX)})
        await put("A-4", hue="green")

        async def many() -> bool:
            found = await drift()
            return found["public.orders.hue"] == 3 and len(found) > ATTRIBUTES_MAX / 2

        await worker.until(many, what="what was met later is named too")
        assert len(await drift()) <= ATTRIBUTES_MAX

        connection = await asyncpg.connect(stage.dsn)
        await connection.execute(
            "update replicator.drift set last_seen = last_seen - interval '25 hours'"
        )
        await connection.close()

        async def none() -> bool:
            return not await drift()

        await worker.until(none, what="what was not met for a day is left out")
