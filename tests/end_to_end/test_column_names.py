"""Columns may have any name that a statement of the product uses for something of its own."""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_verify import execute, verified
from tests.support.command import replicator
from tests.support.comparison import read_rows
from tests.support.warm_start import ROOT

A_KEY = 15
"""Names of one key: an index has 32 columns at most, and the names are in a pattern."""
OF_THE_SYSTEM = {"ctid", "oid", "tableoid", "xmin", "xmax", "cmin", "cmax", "_deleted_at"}
NUMBERED = {"c0", "c1", "k0", "k1", "key_0", "key_1", "c_k0"}
"""Aliases that a statement makes of a name and a number."""
NAME = re.compile(r"\b[a-z_][a-z0-9_]*\b")
ALIASES = (
    re.compile(r"\bas (?:materialized )?([a-z_]\w*)\s*(?:\(([^)]*)\))?"),
    re.compile(r"\b([a-z_]\w*) as (?:materialized )?\("),
    re.compile(r"""\b([a-z_]\w*)\.[a-z_{"]"""),
)


def statements() -> Iterator[str]:
    """Every statement that meets rows of targets, and every part of one."""
    for room in ("read", "write"):
        for path in sorted((ROOT / "replicator" / "postgres" / room).glob("*.py")):
            tree = ast.parse(path.read_text())
            prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and node not in prose:
                    yield str(node.value)


def names_of_statements() -> list[str]:
    """Aliases of all kinds: of tables, parts, columns."""
    found: set[str] = set()
    for text in statements():
        for alias in (match for pattern in ALIASES for match in pattern.finditer(text)):
            found |= {name for group in alias.groups() for name in NAME.findall(group or "")}
    return sorted((found | NUMBERED) - OF_THE_SYSTEM)


def groups() -> list[list[str]]:
    names = names_of_statements()
    return [names[start : start + A_KEY] for start in range(0, len(names), A_KEY)]


def into(place: int, key: list[str], others: list[str]) -> dict[str, Any]:
    """A target whose columns have these names, with a child table, a history and soft deletions."""
    position, *columns = others
    return {
        "when": {"kind": f"kind {place}"},
        "split": {"pk": "#".join(f"{{{name}}}" for name in key)},
        "key": {name: {"part": name} for name in key},
        "columns": {name: {"from": f'"{name}"', "type": "text"} for name in columns},
        "on_delete": "soft" if place % 2 else "delete",
        "history": f"audit.named_{place}",
        "children": {
            f"public.children_{place}": {
                "from": "lines",
                "position": position,
                "columns": {name: {"from": f'"{name}"', "type": "text"} for name in columns},
            }
        },
    }


def item(place: int, number: int, key: list[str], others: list[str]) -> dict[str, Any]:
    values = {name: {"S": f"{name} {number}"} for name in others[1:]}
    return {
        **values,
        "pk": {"S": "#".join(f"{name} {number}" for name in key)},
        "kind": {"S": f"kind {place}"},
        "lines": {"L": [{"M": values}, {"M": {}}]},
    }


def rows_of(number: int, key: list[str], others: list[str]) -> tuple[dict[Any, Any], ...]:
    """The row of an item and those of its lines."""
    position, *columns = others
    parts = {name: f"{name} {number}" for name in key}
    row = {**parts, **{name: f"{name} {number}" for name in columns}}
    lines = {
        (*parts.values(), 0): {**row, position: 0},
        (*parts.values(), 1): {**parts, **dict.fromkeys(columns), position: 1},
    }
    return {tuple(parts.values()): row}, lines


@pytest.mark.wide
@pytest.mark.parametrize("nth", [4, 1])
@one_emulator
async def test_a_column_may_be_called_as_anything_in_a_statement(stage: Stage, nth: int):
    table = await stage.create_table("names", {"pk": "S"})
    keys = groups()[::nth]
    named = [(place, key, keys[place - 1]) for place, key in enumerate(keys)]
    targets = {f"public.named_{place}": into(place, key, others) for place, key, others in named}
    for place, key, others in named:
        for number in range(3):
            made = item(place, number, key, others)
            await stage.client.put_item(TableName=table, Item=made)
    entry = {"table": table, "initial_load": "snapshot", "into": targets}
    async with stage.deployment({"names": entry}) as deployment:
        await deployment.migrate()
        assert (await deployment.run_until_caught_up()).code == 0
        for place, key, others in named:
            gone = {"pk": item(place, 2, key, others)["pk"]}
            await stage.client.delete_item(TableName=table, Key=gone)
        assert (await deployment.run_until_caught_up()).code == 0
        await all_there(stage, named)
        await verified(deployment, code=0)

        for place, key, others in named:
            first = f'"{key[0]}"'
            orphan = json.dumps({**dict.fromkeys(key, "nobody"), others[0]: 0})
            await execute(
                stage.dsn,
                f"insert into children_{place} select (jsonb_populate_record("
                f"null::children_{place}, '{orphan}')).*",
                f"update named_{place} set \"{others[1]}\" = 'untrue' where {first} like '% 0'",
                f"delete from named_{place} where {first} like '% 1'",
            )
        found, _ = await verified(deployment, code=1)
        assert {(each["missing"], each["extra"], each["different"]) for each in found.values()} == {
            (1, 1, 1)
        }
        await verified(deployment, "--repair", code=0)
        await all_there(stage, named)
        for place, key, others in named:
            pk = item(place, 0, key, others)["pk"]["S"]
            words = ("explain", "--table", "names", "--key", pk, "--json")
            done = await replicator(*words, config=deployment.path)
            assert done.code == 0, done.out + done.err
            told = next(
                each
                for each in done.document["targets"]
                if each["target"] == f"public.named_{place}"
            )
            told["row"].pop("_deleted_at", None)
            assert told["row"] == rows_of(0, key, others)[0][tuple(f"{name} 0" for name in key)]


async def all_there(stage: Stage, named: list[tuple[int, list[str], list[str]]]) -> None:
    """The rows of the first two items, beside what a soft deletion leaves of the third."""
    for place, key, others in named:
        rows, lines = rows_of(0, key, others)
        more, more_lines = rows_of(1, key, others)
        found = await read_rows(stage.dsn, f"named_{place}", key=tuple(key))
        for row in found.values():
            row.pop("_deleted_at", None)
        children = await read_rows(stage.dsn, f"children_{place}", key=(*key, others[0]))
        assert without_third(found) == rows | more
        assert without_third(children) == lines | more_lines


def without_third(rows: dict[Any, Any]) -> dict[Any, Any]:
    return {key: row for key, row in rows.items() if not key[0].endswith(" 2")}
