"""Columns of every type of PostgreSQL's own: loaded, streamed, compared, refused and replayed."""

from collections.abc import Sequence
from typing import Any

from replicator.core.values.column_types import ROWS
from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_poison import execute, letters
from tests.support.comparison import read_rows
from tests.support.type_samples import arrays_of, samples_of

KEY = {"pk": "S"}
OWN = [name for name, row in ROWS.items() if row.extension is None]
WRITTEN = {"char": "char(3)"}


def column(name: str, *, many: bool = False) -> str:
    return ("many " if many else "") + name


def columns() -> dict[str, Any]:
    """A column for every type, and one for its arrays; what does not convert is NULL."""
    made: dict[str, Any] = {}
    for name in OWN:
        written = WRITTEN.get(name, name)
        made[column(name)] = {"type": written, "on_invalid": "null"}
        made[column(name, many=True)] = {"type": f"{written}[]", "on_invalid": "null"}
    return {**made, "mood": {"type": "public.mood"}, "amount": "numeric(12,2)"}


def entry(table: str) -> dict[str, Any]:
    target = {"columns": columns(), "history": "public.orders_history"}
    return {"table": table, "into": {"public.orders": target}}


def items(kind: str, names: Sequence[str] = OWN) -> list[dict[str, Any]]:
    """Items that together hold every sample of every one of these types."""
    singles = {name: [value for value in samples_of(name) if _fits(value)] for name in names}
    many = {name: [value for value in arrays_of(name) if _fits(value)] for name in names}
    length = max(map(len, many.values()))
    return [
        {
            "pk": {"S": f"{kind} {number}"},
            **{column(name): values[number % len(values)] for name, values in singles.items()},
            **{
                column(name, many=True): values[number % len(values)]
                for name, values in many.items()
            },
            "mood": {"S": "glad"},
            "amount": {"N": str(number)},
        }
        for number in range(length)
    ]


def _fits(value: dict[str, Any]) -> bool:
    """Whether DynamoDB takes it: whole base64, digits, no empty member in a set of binaries."""
    [(tag, inner)] = value.items()
    if tag == "L":
        return all(map(_fits, inner))
    if tag == "N":
        return inner != "x"
    return inner != "A" if tag == "B" else tag != "BS" or inner not in (["A"], [""])


@one_emulator
async def test_every_type_is_loaded_streamed_and_compared_and_a_new_label_is_seen(stage: Stage):
    table = await stage.create_table("orders", KEY)

    async def put(*some: dict[str, Any]) -> None:
        for item in some:
            await stage.client.put_item(TableName=table, Item=item)

    await execute(stage, "create type public.mood as enum ('glad', 'so so')")
    await execute(
        stage,
        "create domain public.amount as numeric(12,2) check (value >= 0);"
        'create table public.orders (pk text collate "C" primary key, amount public.amount)',
    )
    settings = {"orders": {**entry(table), "initial_load": "snapshot"}}
    settings["orders"]["into"]["public.orders"]["existing_rows"] = "keep"
    async with stage.deployment(settings) as deployment:
        await put(*items("loaded"))
        await deployment.migrate()
        assert (await deployment.run_until_caught_up()).code == 0
        await put(*items("streamed"))
        await put({"pk": {"S": "sad"}, "mood": {"S": "sad"}})
        await put({"pk": {"S": "debt"}, "mood": {"S": "glad"}, "amount": {"N": "-1"}})
        assert (await deployment.run_until_caught_up()).code == 0

        rows = await read_rows(stage.dsn, "public.orders", key=("pk",))
        assert len(rows) == len(items("loaded")) + len(items("streamed"))
        for name in columns():
            assert any(row[name] is not None for row in rows.values()), name
        refused = {letter["reason"] for letter in await letters(stage, "orders")}
        assert any("no label of the enum type" in reason for reason in refused), refused
        assert any('constraint "amount_check"' in reason for reason in refused), refused
        verified = await deployment.command("verify")
        lines = [line for line in verified.stdout.splitlines() if "public.orders: " in line]
        assert lines == [
            "public.orders: 2 items do not fit: `replicator dead-letters list --table orders`"
        ], verified.text

        await execute(stage, "alter type public.mood add value 'sad'")
        replayed = await deployment.command(
            "dead-letters", "replay", "--table", "orders", "--why", "a new label"
        )
        assert "1" in replayed.text
        states = sorted(letter["state"] for letter in await letters(stage, "orders"))
        assert states == ["open", "replayed"]
        rows = await read_rows(stage.dsn, "public.orders", key=("pk",))
        assert rows[("sad",)]["mood"] == "sad"

        await execute(
            stage,
            "update public.orders set interval = '-168 hours' where interval = interval '-7 days'",
        )
        await execute(stage, """update public.orders set "json" = '{}' where pk = 'loaded 0'""")
        unequal = await deployment.command("verify")
        assert "different" in unequal.stdout, unequal.text
        assert "json" in unequal.stdout
        assert "interval" in unequal.stdout
