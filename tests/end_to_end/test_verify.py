"""`verify` finds what differs and nothing else, whether a worker runs or not."""

import asyncio
import json
from decimal import Decimal
from functools import partial
from itertools import count
from random import Random
from typing import Any

import asyncpg

from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.control.snapshot.verify_repair_snapshots import begin_repair
from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.command import replicator
from tests.support.comparison import read_rows
from tests.support.daemon import Deployment
from tests.support.waiting import eventually

KEY = {"pk": "S", "sk": "N"}
IN_FLIGHT_MAX = 20
ORDERS = 60
CUSTOMERS = 12


def order(number: int, **attributes: Any) -> dict[str, Any]:
    return {
        "pk": {"S": f"order {number} ä"},
        "sk": {"N": str(number)},
        "kind": {"S": "order"},
        "total": {"N": f"{number}.50"},
        "placed": {"N": str(1_700_000_000 + number)},
        "tags": {"SS": ["a", f"tag {number}"]},
        "photo": {"B": bytes([number, 0, 255])},
        "extra": {"M": {"n": {"N": f"{number}e2"}, "list": {"L": [{"BOOL": True}]}}},
        **attributes,
    }


def customer(number: int) -> dict[str, Any]:
    return {
        "pk": {"S": f"customer {number}"},
        "sk": {"N": "-1.5"},
        "kind": {"S": "customer"},
        "name": {"S": f"name {number}"},
    }


def entry(table: str) -> dict[str, Any]:
    orders = {
        "when": {"kind": "order"},
        "key": {"id": {"from": "pk"}, "line": {"from": "sk", "type": "numeric"}},
        "columns": {
            "total": "numeric(12,2)",
            "placed": {"type": "timestamptz", "format": "epoch_s"},
            "tags": "text[]",
            "photo": "bytea",
            "n": {"from": "extra.n", "type": "bigint"},
        },
        "rest": "others",
        "on_delete": "soft",
    }
    everything: dict[str, Any] = {}
    kept = {"when": {"kind": "customer"}, "columns": {"name": "text"}, "on_delete": "ignore"}
    return {
        "table": table,
        "initial_load": "stream",
        "into": {"public.orders": orders, "public.everything": everything, "public.kept": kept},
    }


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def verified(
    deployment: Deployment, *words: str, code: int
) -> tuple[dict[str, Any], dict[str, list[tuple[str, str, list[str]]]]]:
    """The targets of the document, and for each its examples: kind, key, columns."""
    done = await replicator("verify", "--json", *words, config=deployment.path)
    assert done.code == code, done.out + done.err
    document = done.document
    targets = {table["target"]: table for table in document["tables"]}
    examples = {
        name: [
            (found["kind"], found["key"]["pk"]["S"], found["columns"])
            for found in table["examples"]
        ]
        for name, table in targets.items()
    }
    assert document["equal"] is (code == 0)
    assert document["dead_letters"] == sum(table["rejected"] for table in targets.values())
    return targets, examples


async def modes(dsn: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.fetch("select mode, snapshot_id from replicator.table_state")
    finally:
        await connection.close()
    return [tuple(row) for row in found]


async def explained(
    deployment: Deployment, key: str, *, code: int
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The document, and its targets by name."""
    done = await replicator(
        "explain", "--table", "single", "--key", key, "--json", config=deployment.path
    )
    assert done.code == code, done.out + done.err
    return done.document, {target["target"]: target for target in done.document["targets"]}


async def explains(deployment: Deployment, table: str, stage: Stage) -> None:
    """One item each: changed by hand, gone, set aside, on its way, as it must be."""
    document, targets = await explained(deployment, "pk=order 1 ä,sk=1.0", code=1)
    assert document["item"]["total"] == {"N": "1.5"}
    orders, kept = targets["public.orders"], targets["public.kept"]
    assert (orders["difference"], orders["columns"]) == ("different", ["total"])
    assert (orders["expected"]["total"], orders["row"]["total"]) == (1.5, 1.23)
    assert orders["reasons"][0].startswith("nothing explains it")
    assert kept["route"] == "`when` leaves it out (on_delete: ignore)"
    assert (kept["row"], kept["difference"], kept["reasons"]) == (None, None, [])

    _, targets = await explained(deployment, '{"pk": "order 0 ä", "sk": 0}', code=1)
    assert targets["public.orders"]["route"] == "there is no such item (on_delete: soft)"
    assert targets["public.orders"]["difference"] == "extra"

    document, targets = await explained(
        deployment, f'{{"pk": {{"S": "order {ORDERS} ä"}}, "sk": {{"N": "{ORDERS}"}}}}', code=1
    )
    assert targets["public.orders"]["dead_letter"] is True
    assert targets["public.orders"]["route"].startswith("does not fit: attribute 'total'")
    [letter] = document["dead_letters"]
    assert letter["target"] == "public.orders"
    assert int(letter["sequence_number"])

    await stage.client.put_item(TableName=table, Item=order(20, total={"N": "5"}))
    document, targets = await explained(deployment, "pk=order 20 ä,sk=20", code=1)
    [change] = document["pending"]
    assert change["event"] == "modify"
    assert targets["public.orders"]["reasons"] == [
        "no worker runs",
        f"1 changes are on their way in the stream, up to {change['sequence_number']}",
    ]
    await deployment.run_until_caught_up()
    key = ("--table", "single", "--key", "pk=order 20 ä,sk=20")
    shown = await replicator("explain", *key, config=deployment.path)
    assert shown.code == 0, shown.out
    assert "verdict:  as it must be" in shown.out
    wrong = await replicator("explain", *key[:3], "order 20", config=deployment.path)
    assert wrong.code == 2
    assert "write --key pk=…,sk=…, or JSON" in wrong.err


def counts(target: dict[str, Any]) -> tuple[int, ...]:
    names = ("compared", "missing", "extra", "different", "in_flight", "rejected")
    return tuple(target[name] for name in names)


async def seed(stage: Stage, table: str) -> None:
    """Orders and customers, one that does not fit, and two that were deleted."""
    for number in range(ORDERS):
        await stage.client.put_item(TableName=table, Item=order(number))
    for number in range(CUSTOMERS):
        await stage.client.put_item(TableName=table, Item=customer(number))
    rejected = order(ORDERS, total={"N": "1.005"})
    await stage.client.put_item(TableName=table, Item=rejected)
    for key in (order(0), customer(0)):
        keys = {name: key[name] for name in KEY}
        await stage.client.delete_item(TableName=table, Key=keys)


async def repairs(deployment: Deployment, stage: Stage) -> None:
    """Everything is as it must be then, by a look that has nothing of ours."""
    targets, examples = await verified(deployment, "--repair", "--why", "a test", code=1)
    assert [target["repaired"] for target in targets.values()] == [12, 3, 1]
    assert not any(examples.values())
    rows = await read_rows(stage.dsn, "public.orders", key=("id", "line"))
    alive = {key: row for key, row in rows.items() if row["_deleted_at"] is None}
    assert {line for _, line in alive} == {*range(1, ORDERS)}
    assert all(row["n"] == row["line"] * 100 for row in alive.values())
    assert alive["order 1 ä", Decimal(1)]["total"] == Decimal("1.50")
    assert {"never", "", "x", "gone", "order 0 ä"} == {key for key, _ in rows.keys() - alive}
    kept = await read_rows(stage.dsn, "public.kept", key=("pk",))
    assert ("left over",) in kept
    assert kept["customer 4",]["name"] == "name 4"
    assert await modes(stage.dsn) == [("fence", None)]


async def outlives_a_dead_repair(deployment: Deployment, stage: Stage) -> None:
    """A repair whose process died keeps others out until it is cancelled, or is too old."""
    await execute(stage.dsn, "update orders set total = 0 where line = 1")
    connection = ConnectionSettings(dsn=stage.dsn)
    name = deployment.settings["deployment"]
    database = Database(connection, deployment=name, control_schema="replicator", pool_size=1)
    await begin_repair(database, "single", [], keys=1, who="a test", why=None)
    await database.close()
    refused = await replicator("verify", "--repair", config=deployment.path)
    assert refused.code == 2
    assert "a snapshot or another repair of table 'single' is under way" in refused.err
    await replicator("snapshot", "--table", "single", "--cancel", config=deployment.path)
    await verified(deployment, "--repair", code=1)
    assert await modes(stage.dsn) == [("fence", None)]


@one_emulator
async def test_every_kind_of_difference_is_found_and_nothing_else(stage: Stage):
    table = await stage.create_table("single", KEY)
    await seed(stage, table)
    async with stage.deployment({"single": entry(table)}) as deployment:
        await deployment.migrate()
        await deployment.run_until_caught_up()

        targets, examples = await verified(deployment, code=1)

        said = await replicator("verify", config=deployment.path)
        assert "source and target are equal, except 1 item that is a dead letter" in said.out
        assert counts(targets["public.orders"]) == (ORDERS - 1, 0, 0, 0, 0, 1)
        assert counts(targets["public.everything"]) == (ORDERS + CUSTOMERS - 1, 0, 0, 0, 0, 0)
        assert counts(targets["public.kept"]) == (CUSTOMERS - 1, 0, 0, 0, 0, 0)
        assert not any(examples.values())

        await execute(
            stage.dsn,
            "update orders set total = 1.23 where line = 1",
            "update orders set placed = placed + interval '1 microsecond' where line = 2",
            "update orders set tags = array['tag 3', 'a'] where line = 3",
            "update orders set photo = null where line = 4",
            "update orders set others = others || '{\"more\": 1}' where line = 5",
            "update orders set n = n + 1, others = '{}' where line = 6",
            "update orders set _deleted_at = now() where line = 7",
            "update orders set _deleted_at = null where line = 0",
            "delete from orders where line = 8",
            "insert into orders (id, line) values ('never', 1e-100), ('', 0), ('x', 1e200)",
            "insert into orders (id, line, _deleted_at) values ('gone', 1, now())",
            # the same in another form is no difference
            'update orders set line = 9.000, others = others || \'{"kind": "order"}\''
            " where line = 9",
            "delete from everything where pk = 'customer 3'",
            "update everything set data = jsonb_set(data, '{extra,n}', '100.00') where sk = 1",
            "update everything set data = jsonb_set(data, '{extra,n}', '\"200\"') where sk = 2",
            "insert into everything (pk, sk, data) values ('customer 0', -1.50, '{}')",
            "insert into kept (pk, sk, name) values ('left over', 1, 'x')",
            "update kept set name = 'Name 4' where pk = 'customer 4'",
        )
        targets, examples = await verified(deployment, code=1)

        assert examples["public.orders"] == sorted(
            [
                ("different", "order 1 ä", ["total"]),
                ("different", "order 2 ä", ["placed"]),
                ("different", "order 3 ä", ["tags"]),
                ("different", "order 4 ä", ["photo"]),
                ("different", "order 5 ä", ["others"]),
                ("different", "order 6 ä", ["n", "others"]),
                ("different", "order 7 ä", ["_deleted_at"]),
                ("extra", "order 0 ä", []),
                ("missing", "order 8 ä", []),
                ("extra", "never", []),
                ("extra", "", []),
                ("extra", "x", []),
            ],
            key=lambda found: json.dumps(found[1]),
        )
        assert sorted(examples["public.everything"]) == [
            ("different", "order 2 ä", ["data"]),
            ("extra", "customer 0", []),
            ("missing", "customer 3", []),
        ]
        assert examples["public.kept"] == [("different", "customer 4", ["name"])]
        assert counts(targets["public.orders"]) == (ORDERS - 1, 1, 4, 7, 0, 1)

        await explains(deployment, table, stage)
        seen = await replicator("verify", "--table", "single", config=deployment.path)
        assert seen.code == 1
        assert 'public.orders: different in n, others: pk="order 6 ä", sk=6' in seen.out
        status = await replicator("status", config=deployment.path)
        assert "the last verify found 16 rows unequal" in status.out

        await repairs(deployment, stage)
        await outlives_a_dead_repair(deployment, stage)


def numbered(key: int, n: int) -> dict[str, Any]:
    return {"pk": {"S": f"k{key}"}, "n": {"N": str(n)}}


async def write(stage: Stage, table: str, done: asyncio.Event) -> None:
    """Everything but the first hundred keys changes all the time, as fast as it is applied.

    No key changes more often than the others: one that does differs at each look of a verification,
    which counts the item as in flight.
    """
    random = Random(5)
    for number in count(1):
        if done.is_set():
            return
        key = random.randrange(100, 400)
        waits = number % IN_FLIGHT_MAX == 0
        if random.random() < 0.2 and not waits:
            await stage.client.delete_item(TableName=table, Key={"pk": {"S": f"k{key}"}})
        else:
            await stage.client.put_item(TableName=table, Item=numbered(key, number))
        if waits:
            await eventually(
                partial(arrived, stage, key, number), what=f"change {number} is applied"
            )


async def arrived(stage: Stage, key: int, number: int) -> bool:
    connection = await asyncpg.connect(stage.dsn)
    try:
        found = await connection.fetchval("select n from busy where pk = $1", f"k{key}")
    finally:
        await connection.close()
    return bool(found == number)


async def is_equal(stage: Stage, table: str) -> bool:
    """Compared without anything of ours."""
    rows = await read_rows(stage.dsn, "public.busy", key=("pk",))
    scan = await stage.client.scan(TableName=table, ConsistentRead=True)
    items = {item["pk"]["S"]: int(item["n"]["N"]) for item in scan["Items"]}
    return {key: row["n"] for (key,), row in rows.items()} == items


@one_emulator
async def test_what_is_only_in_flight_is_no_difference(stage: Stage):
    table = await stage.create_table("busy", {"pk": "S"})
    for key in range(300):
        await stage.client.put_item(TableName=table, Item=numbered(key, 0))
    into = {"public.busy": {"columns": {"n": "bigint"}}}
    tables = {"busy": {"table": table, "initial_load": "stream", "into": into}}
    async with stage.deployment(tables) as deployment:
        await deployment.migrate()
        await deployment.run_until_caught_up()
        for key in range(3):
            await stage.client.put_item(TableName=table, Item=numbered(key, 1))
        await stage.client.delete_item(TableName=table, Key={"pk": {"S": "k3"}})

        # nobody applies these four: they are in flight; what was planted beside them is found
        targets, _ = await verified(deployment, code=4)
        assert counts(targets["public.busy"]) == (299, 0, 0, 0, 4, 0)
        await execute(stage.dsn, "update busy set n = 7 where pk = 'k9'")
        targets, examples = await verified(deployment, code=1)
        assert counts(targets["public.busy"]) == (299, 0, 0, 1, 4, 0)
        assert examples["public.busy"] == [("different", "k9", ["n"])]

        worker = await deployment.start_ready()
        done = asyncio.Event()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write(stage, table, done))
            try:
                for _ in range(2):
                    targets, examples = await verified(deployment, code=1)
                    assert examples["public.busy"] == [("different", "k9", ["n"])]
                    assert targets["public.busy"]["in_flight"] == 0

                await execute(
                    stage.dsn,
                    "update busy set n = 0 where pk = 'k9'",
                    "delete from busy where pk = 'k10'",
                    "insert into busy values ('never', 1)",
                )
                targets, examples = await verified(deployment, "--sample", "100", code=1)
                expected: Any = [("missing", "k10", []), ("extra", "never", [])]
                assert examples["public.busy"] == expected
                of_table = frozenset({("table", "busy")})

                async def shown() -> bool:
                    found = await worker.metrics()
                    return found.get(("replicator_verify_unequal", of_table)) == 2

                await worker.until(shown, what="the worker shows what verify found")
                targets, _ = await verified(deployment, "--repair", code=0)
                assert targets["public.busy"]["repaired"] == 2
                found = await worker.metrics()
                assert found["replicator_verify_timestamp_seconds", of_table] > 1.7e9
            finally:
                done.set()
        await verified(deployment, code=0)
        assert await is_equal(stage, table)
        assert await modes(stage.dsn) == [("fence", None)]


@one_emulator
async def test_rows_of_child_tables_are_compared_and_repaired(stage: Stage):
    table = await stage.create_table("parents", {"pk": "S"})
    for number in range(6):
        lines = [{"M": {"sku": {"S": f"sku {n}"}, "qty": {"N": str(n)}}} for n in range(number)]
        item = {"pk": {"S": f"p{number}"}, "lines": {"L": lines}, "tags": {"SS": ["a", "b"]}}
        await stage.client.put_item(TableName=table, Item=item)
    unfit = {"pk": {"S": "unfit"}, "lines": {"L": [{"M": {"qty": {"N": "1.5"}}}]}}
    await stage.client.put_item(TableName=table, Item=unfit)
    lines_table = {
        "from": "lines",
        "position": "line",
        "columns": {"sku": "text", "qty": "integer"},
    }
    children = {
        "public.lines": lines_table,
        "public.tags": {"from": "tags", "value": {"tag": "text"}},
    }
    into = {"public.parents": {"columns": {}, "rest": "extra", "children": children}}
    tables = {"parents": {"table": table, "initial_load": "stream", "into": into}}
    async with stage.deployment(tables) as deployment:
        await deployment.migrate()
        await deployment.run_until_caught_up()
        targets, _ = await verified(deployment, code=1)
        assert counts(targets["public.parents"]) == (6, 0, 0, 0, 0, 1)

        await execute(
            stage.dsn,
            "update lines set qty = 7 where pk = 'p1'",
            "delete from lines where pk = 'p2' and line = 1",
            "insert into lines (pk, line, sku, qty) values ('p3', 9, 'x', 1)",
            "insert into lines (pk, line, sku, qty) values ('p0', 0, 'x', 1)",
            "update tags set tag = 'c' where pk in ('p3', 'p4') and position = 1",
        )
        _, examples = await verified(deployment, code=1)
        assert examples["public.parents"] == [
            ("different", "p0", ["public.lines"]),
            ("different", "p1", ["public.lines"]),
            ("different", "p2", ["public.lines"]),
            ("different", "p3", ["public.lines", "public.tags"]),
            ("different", "p4", ["public.tags"]),
        ]
        await verified(deployment, "--repair", code=1)
        found = await read_rows(stage.dsn, "public.lines", key=("pk", "line"))
        assert {key: row["qty"] for key, row in found.items()} == {
            (f"p{number}", n): n for number in range(6) for n in range(number)
        }
