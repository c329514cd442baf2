"""A record that cannot be applied is set aside alone, with the reason, wherever it stands."""

import random
from collections.abc import Mapping
from typing import Any

import asyncpg

from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.comparison import read_rows
from tests.support.daemon import Deployment, Worker

KEY = {"pk": "S", "sk": "S"}
RECORDS = 9
PLACES = {"first": 0, "middle": RECORDS // 2, "last": RECORDS - 1}
UNWANTED = 13
RULES = {
    "constraint": "alter table {table} add constraint never_thirteen check (n <> 13)",
    "trigger": """
        create function {function}() returns trigger language plpgsql as $$
        begin
            if new.n = 13 then raise exception 'not thirteen'; end if;
            return new;
        end $$;
        create trigger picky after insert or update on {table}
            for each row execute function {function}()""",
}
REASONS = {
    "conversion": ("attribute 'n', column 'n'", None),
    "nul": ("attribute 'name', column 'name'", None),
    "inside the rest": ("column 'extra'", None),
    "constraint": ("never_thirteen", "23514"),
    "trigger": ("refused the row", "P0001"),
    "long key": ("index row", "54000"),
}
"""What each kind of poison must be called: words of the reason, and the SQLSTATE."""
EVERYWHERE = ("conversion", "constraint", "long key")
"""Kinds that are tried at every place, the others in the middle."""


def item(key: str, n: Any = 1, **others: Any) -> dict[str, Any]:
    return {"pk": {"S": key}, "sk": {"S": "-"}, "n": {"N": str(n)}, **others}


def poison(kind: str) -> dict[str, Any]:
    """An item that its table refuses."""
    match kind:
        case "conversion":
            return item("poison", "1.5")
        case "nul":
            return item("poison", name={"S": "a\0b"})
        case "inside the rest":
            return item("poison", others={"L": [{"S": "fine"}, {"S": "a\0b"}]})
        case "long key":
            chance = random.Random(1)
            alphabet = [chr(code) for code in range(33, 127)]
            long = "".join(chance.choices(alphabet, k=2048 + 1024))
            return {**item("poison"), "pk": {"S": long[:2048]}, "sk": {"S": long[2048:]}}
        case _:
            return item("poison", UNWANTED)


def entry(table: str, *targets: str) -> dict[str, Any]:
    columns = {"n": "bigint", "name": "text"}
    into = {f"public.{target}": {"columns": columns, "rest": "extra"} for target in targets}
    return {"table": table, "initial_load": "stream", "into": into}


async def put(stage: Stage, table: str, *items: Mapping[str, Any]) -> None:
    for each in items:
        await stage.client.put_item(TableName=table, Item=each)


async def execute(stage: Stage, statement: str) -> None:
    connection = await asyncpg.connect(stage.dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def letters(stage: Stage, source: str) -> list[asyncpg.Record]:
    """Dead letters of a table, in the order of their records."""
    connection = await asyncpg.connect(stage.dsn)
    try:
        return await connection.fetch(
            "select * from replicator.dead_letter where source = $1"
            " order by sequence_number, target",
            source,
        )
    finally:
        await connection.close()


async def numbers(stage: Stage, target: str) -> dict[str, int]:
    """`n` by key."""
    rows = await read_rows(stage.dsn, f"public.{target}", key=("pk", "sk"))
    return {key: row["n"] for (key, _), row in rows.items()}


async def caught_up(deployment: Deployment) -> None:
    worker = await deployment.run_until_caught_up()
    assert worker.code == 0, worker.tail()


async def test_exactly_the_poison_record_of_a_batch_is_set_aside(stage: Stage):
    cases = {
        f"{kind}_{place}".replace(" ", "_"): (kind, index)
        for kind in REASONS
        for place, index in PLACES.items()
        if place == "middle" or kind in EVERYWHERE
    }
    tables = {name: await stage.create_table(name, KEY) for name in cases}
    async with stage.deployment({n: entry(t, n) for n, t in tables.items()}) as deployment:
        await deployment.migrate()
        for name, (kind, index) in cases.items():
            if kind in RULES:
                rule = RULES[kind].format(table=f"public.{name}", function=f"picky_{name}")
                await execute(stage, rule)
            items = [item(f"key {number}", number + 100) for number in range(RECORDS)]
            items[index] = poison(kind)
            await put(stage, tables[name], *items)

        await caught_up(deployment)

    for name, (kind, index) in cases.items():
        words, sqlstate = REASONS[kind]
        [letter] = await letters(stage, name)
        assert words in letter["reason"], name
        assert letter["sqlstate"] == sqlstate, name
        assert (letter["target"], letter["state"]) == (f"public.{name}", "open")
        expected = {f"key {number}": number + 100 for number in range(RECORDS) if number != index}
        assert await numbers(stage, name) == expected, name


@one_emulator
async def test_a_batch_of_nothing_but_poison_becomes_nothing_but_dead_letters(stage: Stage):
    tables = {name: await stage.create_table(name, KEY) for name in ("conversion", "constraint")}
    async with stage.deployment({n: entry(t, n) for n, t in tables.items()}) as deployment:
        await deployment.migrate()
        await execute(stage, RULES["constraint"].format(table="public.constraint"))
        for kind, table in tables.items():
            await put(stage, table, *({**poison(kind), "pk": {"S": str(n)}} for n in range(12)))

        await caught_up(deployment)

    for name in tables:
        assert len(await letters(stage, name)) == 12
        assert await numbers(stage, name) == {}


@one_emulator
async def test_a_target_that_refuses_does_not_keep_the_other_from_its_row(stage: Stage):
    table = await stage.create_table("orders", KEY)
    entries = {"orders": entry(table, "willing", "picky")}
    async with stage.deployment(entries) as deployment:
        await deployment.migrate()
        await execute(stage, RULES["constraint"].format(table="public.picky"))
        await put(stage, table, item("a", 1), item("b", UNWANTED), item("c", 3))
        worker = await deployment.start_ready()
        await counted(worker, 3)
        assert await worker.counted("replicator_records_total", outcome="dead_letter") == 1
        assert await worker.counted("replicator_records_total", outcome="applied") == 2
        assert await worker.stop() == 0

    assert await numbers(stage, "willing") == {"a": 1, "b": UNWANTED, "c": 3}
    assert await numbers(stage, "picky") == {"a": 1, "c": 3}
    [letter] = await letters(stage, "orders")
    assert letter["target"] == "public.picky"


async def test_the_newest_change_that_fits_is_the_row_wherever_batches_end(stage: Stage):
    kinds = {"conversion": "1.5", "constraint": UNWANTED}
    tables = {kind: await stage.create_table(kind, KEY) for kind in kinds}
    entries = {kind: entry(table, kind) for kind, table in tables.items()}
    async with stage.deployment(entries) as deployment:
        await deployment.migrate()
        await execute(stage, RULES["constraint"].format(table="public.constraint"))
        for kind, bad in kinds.items():
            await put(stage, tables[kind], *versions("in one batch", bad))
        worker = await deployment.start_ready()
        await counted(worker, 12)
        for number in range(6):
            for kind, bad in kinds.items():
                await put(stage, tables[kind], versions("in six batches", bad)[number])
            await counted(worker, 12 + 2 * (number + 1))
        assert await worker.stop() == 0

    for kind in kinds:
        assert await numbers(stage, kind) == {"in one batch": 5, "in six batches": 5}
        states = [letter["state"] for letter in await letters(stage, kind)]
        assert states.count("open") == 2
        assert set(states) == {"open", "superseded"}


def versions(key: str, bad: Any) -> list[dict[str, Any]]:
    """Six versions of an item; the newest that fits has n = 5."""
    return [
        item(key, n, version={"N": str(version)})
        for version, n in enumerate([1, 2, bad, bad, 5, bad])
    ]


async def counted(worker: Worker, records: int) -> None:
    """Wait until so many records have an outcome; one that is read again is no more."""

    async def enough() -> bool:
        again = await worker.total("replicator_records_total", outcome="duplicate")
        return await worker.total("replicator_records_total") - again >= records

    await worker.until(enough, what=f"{records} records are counted")


async def test_a_later_good_change_supersedes_the_dead_letter_of_its_item(stage: Stage):
    table = await stage.create_table("orders", KEY)
    async with stage.deployment({"orders": entry(table, "orders")}) as deployment:
        await deployment.migrate()
        await put(stage, table, item("mended", "1.5"), item("gone", "1.5"), item("left", "1.5"))
        worker = await deployment.start_ready()
        await counted(worker, 3)
        assert [letter["state"] for letter in await letters(stage, "orders")] == ["open"] * 3

        await put(stage, table, item("mended", 2))
        await stage.client.delete_item(TableName=table, Key={"pk": {"S": "gone"}, "sk": {"S": "-"}})
        await counted(worker, 5)
        assert await worker.stop() == 0

    assert await numbers(stage, "orders") == {"mended": 2}
    states = [letter["state"] for letter in await letters(stage, "orders")]
    assert states == ["superseded", "superseded", "open"]
