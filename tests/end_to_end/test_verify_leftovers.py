"""`verify` finds what is left over: rows of children without parents, rows of an older mapping."""

from typing import Any

import pytest

from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_verify import counts, execute, verified
from tests.support.comparison import read_rows


async def items(stage: Stage, table: str) -> None:
    for number in range(4):
        item = {"pk": {"S": f"p{number}"}, "tags": {"SS": ["a", "b"]}, "n": {"N": str(number)}}
        await stage.client.put_item(TableName=table, Item=item)


def entry(table: str, **target: Any) -> dict[str, Any]:
    return {"table": table, "initial_load": "stream", "into": {"public.parents": target}}


@one_emulator
@pytest.mark.parametrize("on_delete", ["delete", pytest.param("soft", marks=pytest.mark.wide)])
async def test_child_rows_without_a_parent_are_found_and_repaired(stage: Stage, on_delete: str):
    table = await stage.create_table("parents", {"pk": "S"})
    await items(stage, table)
    children = {"public.tags": {"from": "tags", "value": {"tag": "text"}}}
    target = {"columns": {"n": "bigint"}, "children": children, "on_delete": on_delete}
    async with stage.deployment({"parents": entry(table, **target)}) as deployment:
        await deployment.migrate()
        await deployment.run_until_caught_up()
        await stage.client.delete_item(TableName=table, Key={"pk": {"S": "p0"}})
        await deployment.run_until_caught_up()
        before = await read_rows(stage.dsn, "public.tags", key=("pk", "position"))
        await verified(deployment, code=0)

        await execute(
            stage.dsn,
            "insert into tags select 'nobody ' || n, p, 'x' from generate_series(1, 2) n,"
            " generate_series(0, 1) p",
            "insert into tags values ('p0 too', 0, 'x')",
            "delete from parents where pk = 'p1'",
        )
        extra = [("extra", key, ["public.tags"]) for key in ("nobody 1", "nobody 2", "p0 too")]
        if on_delete == "soft":  # a row that goes softly keeps its children
            await execute(stage.dsn, "update parents set _deleted_at = null where pk = 'p0'")
            extra.append(("extra", "p0", []))
        targets, examples = await verified(deployment, code=1)
        assert counts(targets["public.parents"]) == (3, 1, len(extra), 0, 0, 0)
        assert sorted(examples["public.parents"]) == sorted([*extra, ("missing", "p1", [])])

        targets, _ = await verified(deployment, "--repair", code=0)
        assert targets["public.parents"]["repaired"] == len(extra) + 1
        assert await read_rows(stage.dsn, "public.tags", key=("pk", "position")) == before
        assert ("p0" in {key for key, _ in before}) is (on_delete == "soft")


@one_emulator
async def test_rows_that_an_older_mapping_wrote_are_named(stage: Stage):
    table = await stage.create_table("parents", {"pk": "S"})
    await items(stage, table)
    first = entry(table, columns={"n": "bigint"}, rest="others")
    async with stage.deployment({"parents": first}) as deployment:
        await deployment.migrate()
        await deployment.run_until_caught_up()
        await execute(stage.dsn, "update parents set n = 7 where pk = 'p3'")
        targets, _ = await verified(deployment, code=1)
        assert targets["public.parents"]["older_mapping"] == 0

        changed = entry(table, columns={"n": "bigint", "tags": "text[]"}, rest="others")
        deployment.settings["tables"]["parents"] = changed
        await deployment.migrate()
        touched = {"pk": {"S": "p0"}, "tags": {"SS": ["c"]}, "n": {"N": "0"}}
        await stage.client.put_item(TableName=table, Item=touched)
        await deployment.run_until_caught_up()
        await execute(stage.dsn, "update parents set n = 8 where pk = 'p0'")

        targets, _ = await verified(deployment, code=1)
        assert targets["public.parents"]["different"] == 4
        assert targets["public.parents"]["older_mapping"] == 3
        found = {
            each["key"]["pk"]["S"]: each["older_mapping"]
            for each in targets["public.parents"]["examples"]
        }
        assert found == {"p0": False, "p1": True, "p2": True, "p3": True}
        said = await deployment.command("verify")
        assert "different in tags, others, written before the mapping was changed" in said.text
        assert "3 rows were written before the mapping was changed" in said.text
        why = await deployment.command("explain", "--table", "parents", "--key", "pk=p1")
        assert "the row was written before the mapping was changed" in why.text

        await verified(deployment, "--repair", code=0)


@one_emulator
async def test_an_item_that_postgresql_refused_is_a_dead_letter_and_no_difference(stage: Stage):
    table = await stage.create_table("parents", {"pk": "S"})
    await items(stage, table)
    target = {"columns": {"n": "bigint"}}
    async with stage.deployment({"parents": entry(table, **target)}) as deployment:
        await deployment.migrate()
        await deployment.run_until_caught_up()
        await execute(stage.dsn, "alter table parents add check (n < 4)")
        for key in ("p0", "new"):
            item = {"pk": {"S": key}, "n": {"N": "9"}}
            await stage.client.put_item(TableName=table, Item=item)
        await deployment.run_until_caught_up()
        await execute(stage.dsn, "update parents set n = -n where pk = 'p1'")

        for words, different in (((), 1), (("--repair",), 0), ((), 0)):
            targets, examples = await verified(deployment, *words, code=1)
            assert counts(targets["public.parents"]) == (5, 0, 0, different, 0, 2)
            assert examples["public.parents"] == [("different", "p1", ["n"])] * different
