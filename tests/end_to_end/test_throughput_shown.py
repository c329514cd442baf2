"""The changes a minute that a worker shows are those of all workers."""

import pytest

from tests.end_to_end.conftest import Stage, one_emulator

ITEMS = 12


@one_emulator
@pytest.mark.long
async def test_every_worker_shows_what_all_of_them_handle(stage: Stage):
    table = await stage.create_table("orders", {"pk": "S"})
    entry = {"table": table, "initial_load": "stream", "into": {"public.orders": {}}}
    async with stage.deployment({"orders": entry}) as deployment:
        await deployment.migrate()
        workers = [await deployment.start_ready() for _ in range(2)]
        for number in range(ITEMS):
            await stage.client.put_item(TableName=table, Item={"pk": {"S": str(number)}})

        for worker in workers:

            async def shown() -> bool:
                shown: int = (await worker.shown_table("orders"))["records_per_minute"]  # noqa: B023
                return shown == ITEMS

            await worker.until(shown, what="all changes of the last minute are shown")
