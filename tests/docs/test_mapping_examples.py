"""Every example of docs/mapping.md, run through the loader, the mapping and the planner."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from replicator.cli.terminal.output import encode
from replicator.cli.terminal.row_json import row_document
from replicator.config.load_settings import load
from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.planning.history_rows import HistoryRow
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.write_plan import TargetWrites, WritePlan
from replicator.core.stream.decoding.dynamodb_records import numbers_of
from replicator.core.stream_record import Event, StreamRecord
from replicator.core.table_spec import KeyType, SourceKey
from replicator.core.values.column_types import ROWS
from replicator.core.values.dynamodb_json import decode_image
from replicator.errors import ConfigurationError, ValueRejected
from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs/mapping.md"
FRAME = "version: 1\ndeployment: docs\n"
SALT = "sixteen bytes at least"
KEY_NAMES = ("pk", "sk")  # as the page says
KEY_TYPES: tuple[KeyType, ...] = ("S", "N", "B")
OUTCOMES = {"json family", "json row", "json rows", "text rejected", "json writes", "text because"}
GIVEN = {"yaml mapping", "json item", "json changes", "yaml refused"}


@dataclass(frozen=True, slots=True)
class Example:
    """A mapping, what comes in, and what the page says becomes of it."""

    heading: str
    mapping: str
    given: str
    outcome: str
    says: str


def examples() -> Iterator[Example]:
    mapping = given = ""
    for block in blocks(PAGE):
        if block.info in {"yaml mapping", "yaml refused"}:
            mapping = block.text
        elif block.info in GIVEN:
            given = block.text
        elif block.info in OUTCOMES:
            yield Example(block.heading, mapping, given, block.info, block.text)


def named(example: Example) -> str:
    return f"{example.heading}-{example.outcome.split()[1]}"


def compiled(mapping: str, directory: Path, keys: dict[str, KeyType]) -> TableMapping:
    path = directory / "replicator.yaml"
    (directory / "salt.txt").write_text(SALT)
    mapping = mapping.replace("salt.txt", str(directory / "salt.txt"))
    path.write_text(FRAME + mapping, encoding="utf-8")
    [spec] = load(path, {}).table_specs().values()
    return compile_table(spec, SourceKey(tuple(keys.items())))


def key_of(item: dict[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in KEY_NAMES if name in item}


def key_types(items: list[dict[str, Any]]) -> dict[str, KeyType]:
    return {
        name: next(kind for kind in KEY_TYPES if kind in value)
        for item in items
        for name, value in key_of(item).items()
    }


def exactly(text: str) -> Any:
    """JSON with every digit."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


def rows(mapping: TableMapping, item: dict[str, Any]) -> dict[str, Any]:
    image, keys = decode_image(json.dumps(item).encode()), key_of(item)
    if mapping.protection is not None:
        image = mapping.protection.image(image)
    found: dict[str, Any] = {}
    for target in mapping.targets:
        found[target.name] = None
        if target.condition.matches(keys, image):
            row = target.row_of(keys, image)
            target.children_of(row, image)  # may be what rejects it
            found[target.name] = row_document(target.table, row)
    return found


def family(mapping: TableMapping, item: dict[str, Any]) -> dict[str, Any]:
    """The rows of the one target and of its child tables."""
    [target] = mapping.targets
    image, keys = decode_image(json.dumps(item).encode()), key_of(item)
    row = target.row_of(keys, image)
    found = {target.name: [row_document(target.table, row)]}
    for child, its_rows in zip(target.children, target.children_of(row, image), strict=True):
        name = child.table.qualified
        found[name] = [row_document(child.table, its_row) for its_row in its_rows]
    return found


def plan_of(mapping: TableMapping, changes: list[dict[str, Any]]) -> WritePlan:
    records = [record_of(number, change) for number, change in enumerate(changes, 1)]
    return plan_batch(records, mapping, read_at=0)


def record_of(number: int, change: dict[str, Any]) -> StreamRecord:
    old = change.get("old")
    [(verb, item)] = [(verb, item) for verb, item in change.items() if verb != "old"]
    event: Event = "modify" if verb == "put" else "remove"
    image = memoryview(json.dumps(item).encode()) if verb == "put" else None
    return StreamRecord(
        *numbers_of(number),
        event,
        key_of(item),
        image,
        None if old is None else memoryview(json.dumps(old).encode()),
        1_700_000_000.0,
        expired=verb == "expire",
    )


def written(writes: TargetWrites) -> dict[str, Any]:
    table = writes.target.table
    key = table.columns[: len(table.key)]
    soft = (*key, table.columns[-1])

    def documents(columns: Any, found: Sequence[Any]) -> list[dict[str, Any]]:
        return [
            {column.name: cell for column, cell in zip(columns, row, strict=True)} for row in found
        ]

    shown = {
        "upserts": [row_document(table, row) for row in writes.upserted.rows],
        "deletes": documents(key, writes.deleted.rows),
        "soft_deletes": documents(soft, writes.softly_deleted.rows),
        "appends": [change(row) for row in writes.appends],
    }
    return {name: found for name, found in shown.items() if found}


def change(row: HistoryRow) -> dict[str, Any]:
    names = ("sequence_number", "operation", "created_at", "keys", "new_image", "old_image")
    images = [None if cell is None else exactly(str(cell)) for cell in row[3:]]
    return dict(zip(names, (*row[:3], *images), strict=True))


@pytest.mark.parametrize("example", list(examples()), ids=named)
def test_an_example_is_true(example: Example, tmp_path: Path):
    match example.outcome:
        case "json row":
            item = json.loads(example.given)
            [row] = rows(compiled(example.mapping, tmp_path, key_types([item])), item).values()
            assert exactly(encode(row)) == exactly(example.says)
        case "json family":
            item = json.loads(example.given)
            mapped = compiled(example.mapping, tmp_path, key_types([item]))
            assert exactly(encode(family(mapped, item))) == exactly(example.says)
        case "json rows":
            item = json.loads(example.given)
            found = rows(compiled(example.mapping, tmp_path, key_types([item])), item)
            assert exactly(encode(found)) == exactly(example.says)
        case "text rejected":
            item = json.loads(example.given)
            with pytest.raises(ValueRejected) as rejection:
                rows(compiled(example.mapping, tmp_path, key_types([item])), item)
            assert str(rejection.value) == example.says.strip()
        case "json writes":
            changes = json.loads(example.given)
            items = [item for change in changes for item in change.values()]
            plan = plan_of(compiled(example.mapping, tmp_path, key_types(items)), changes)
            [writes] = plan.writes
            found = written(writes)
            if plan.dead_letters:
                found["dead_letters"] = [letter.reason for letter in plan.dead_letters]
            assert exactly(encode(found)) == exactly(example.says)
        case _:
            with pytest.raises(ConfigurationError) as refusal:
                compiled(example.mapping, tmp_path, {"pk": "S", "sk": "S"})
            assert example.says.strip() in str(refusal.value)


def test_every_block_of_the_page_is_understood():
    unknown = {block.info for block in blocks(PAGE)} - GIVEN - OUTCOMES - {"sh"}

    assert not unknown
    assert len(list(examples())) > 20


def test_the_page_tells_of_every_type_and_of_none_that_there_is_not():
    page = PAGE.read_text()
    [table] = re.findall(r"\| declared type \|.*?\n\n", page, re.DOTALL)
    told = re.findall(
        r"`([a-z0-9 ]+)(?:\([a-z,]+\))?`", "".join(re.findall(r"\n\| ([^|]*) \|", table))
    )

    assert sorted(set(told)) == sorted(ROWS)
