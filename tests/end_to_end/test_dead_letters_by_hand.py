"""Dead letters from the mistake to its mending, as an operator does it."""

from typing import Any

from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_poison import KEY, execute, item, letters, numbers, put

LIMIT = 3


def entry(table: str, column: str, **options: Any) -> dict[str, Any]:
    target = {"columns": {"n": column}}
    return {"table": table, "initial_load": "stream", "into": {"public.orders": target}, **options}


@one_emulator
async def test_a_wrong_mapping_is_mended_replayed_and_what_is_left_discarded(stage: Stage):
    table = await stage.create_table("orders", KEY)
    async with stage.deployment({"orders": entry(table, "bigint")}) as deployment:
        await deployment.migrate()
        await put(stage, table, item("a", "1.5"), item("b", "2.5"), item("c", 3))
        bad = {**item("d"), "n": {"S": "many"}}
        await put(stage, table, bad)
        assert (await deployment.run_until_caught_up()).code == 0
        assert await numbers(stage, "orders") == {"c": 3}

        again = await deployment.command("dead-letters", "replay", "--table", "orders")
        assert again.code == 1, again.text
        assert again.text.count("is not an integer") == 2

        deployment.settings["tables"]["orders"] = entry(table, "numeric")
        await execute(stage, "alter table public.orders alter column n type numeric")
        await deployment.migrate()
        await execute(stage, "alter table public.orders alter column n type real")
        rounding = await deployment.command("dead-letters", "replay", "--table", "orders")
        assert (rounding.code, "has the type real" in rounding.stderr) == (2, True), rounding.text
        await execute(stage, "alter table public.orders alter column n type numeric")
        worker = await deployment.start_ready()
        replay = await deployment.command(
            "dead-letters", "replay", "--table", "orders", "--why", "numeric now", "--json"
        )
        assert replay.code == 1, replay.text
        assert await worker.stop() == 0
        [left] = [each for each in await letters(stage, "orders") if each["state"] == "open"]
        discard = await deployment.command(
            "dead-letters", "discard", str(left["id"]), "--why", "test data"
        )
        assert discard.code == 0, discard.text
        assert "discarded 1 dead letter" in discard.text

    found = {key: str(n) for key, n in (await numbers(stage, "orders")).items()}
    assert found == {"a": "1.5", "b": "2.5", "c": "3"}
    states = sorted(letter["state"] for letter in await letters(stage, "orders"))
    assert states == ["discarded", "replayed", "replayed"]


@one_emulator
async def test_more_dead_letters_than_an_hour_may_bring_halt_the_table_once(stage: Stage):
    table = await stage.create_table("orders", KEY)
    tables = {"orders": entry(table, "bigint", max_dead_letters_per_hour=LIMIT)}
    async with stage.deployment(tables) as deployment:
        await deployment.migrate()
        for number in range(LIMIT + 1):
            await put(stage, table, item(f"k{number}", "1.5"))
        halted = await deployment.run_until_caught_up()
        assert halted.code == 3
        assert "max_dead_letters_per_hour (3)" in halted.text()

        resumed = await deployment.command("resume", "--table", "orders")
        assert resumed.code == 0, resumed.text
        await put(stage, table, item("z", "1.5"))
        assert (await deployment.run_until_caught_up()).code == 0
