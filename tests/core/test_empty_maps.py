"""An empty map whose tag the stream dropped becomes, wherever it stands, what it is with its tag.

DynamoDB Local writes `{}` for `{"M":{}}` into a stream's images.
"""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.write_plan import WritePlan
from replicator.core.stream.decoding.dynamodb_records import numbers_of
from replicator.core.stream_record import Image, StreamRecord
from replicator.core.table_spec import ColumnSpec, TargetSpec
from tests.support.builders import table_mapping
from tests.support.planned_together import planned_as_several
from tests.support.random_items import RandomItems
from tests.support.specs import child_spec, column_spec
from tests.support.wide import examples

EMPTY: dict[str, Any] = {"M": {}}
LINES = child_spec("public.lines", "doc", (column_spec("n", "n", "bigint"),), rest="more")
TAGS = child_spec("public.tags", "doc", value=column_spec("tag", "tag", "jsonb"), position="place")
OPTIONS = child_spec("public.options", "doc", (column_spec("n", "n", "text"),), map_key="option")


def target(name: str = "public.t", **options: Any) -> TargetSpec:
    return TargetSpec(name, **{"columns": (column_spec("n", "n", "bigint"),), **options})


def columns(*more: ColumnSpec) -> tuple[ColumnSpec, ...]:
    return (column_spec("n", "n", "bigint"), column_spec("doc", "doc", "jsonb"), *more)


MAPPINGS = {
    "columns": table_mapping(target(columns=columns(), rest="extra")),
    "dropped": table_mapping(target(columns=columns())),
    "document": table_mapping(target(columns=None, rest=None)),
    "paths": table_mapping(
        target(
            columns=columns(
                column_spec("inner", "doc.a", "text"),
                column_spec("json", "doc.a", "jsonb", on_invalid="null"),
                column_spec("first", "doc[0]", "jsonb", on_invalid="null"),
                column_spec("own", "own", "text", on_invalid="null"),
            )
        )
    ),
    "flat": table_mapping(
        target(
            columns=(
                column_spec("n", "n", "bigint"),
                column_spec("doc", "doc", "text", on_invalid="null"),
                column_spec("again", "doc", "boolean", on_invalid="null"),
                column_spec("own", "own", "text", on_invalid="null"),
                column_spec("names", "names", "text"),
            )
        )
    ),
    "flat and alone": table_mapping(
        target(
            columns=(
                column_spec("n", "n", "bigint"),
                column_spec("doc", "doc", "numeric", on_invalid="null"),
                column_spec("own", "own", "bytea"),
            )
        )
    ),
    "nullable": table_mapping(
        target(columns=(column_spec("doc", "doc", "jsonb", on_invalid="null"),))
    ),
    "a path alone": table_mapping(
        target(columns=(column_spec("inner", "doc.a", "jsonb", on_invalid="null"),))
    ),
    "other types": table_mapping(
        target(columns=(column_spec("doc", "doc", "jsonb", other_types="rest"),), rest="extra")
    ),
    "other types left out": table_mapping(
        target(columns=(column_spec("doc", "doc", "text", other_types="rest"),))
    ),
    "when": table_mapping(
        target("public.there", when={"doc": {"exists": True}}),
        target("public.inside", when={"doc.a": {"exists": True}}),
        target("public.not_inside", when={"doc.a.b": {"exists": False}}),
        target("public.not_text", when={"doc": {"not": "x"}}),
    ),
    "history": table_mapping(target(columns=columns(), history="public.t_history")),
    "lines": table_mapping(target(children=(LINES,))),
    "tags": table_mapping(target(children=(TAGS,))),
    "options": table_mapping(target(children=(OPTIONS,))),
    "personal": table_mapping(
        target(columns=columns(), rest="extra"), personal=(("doc.a", "mask"), ("own", "drop"))
    ),
    "unmatched": table_mapping(target(when={"doc.a": 1}), unmatched="dead_letter"),
}
DOCS: list[Any] = [
    EMPTY,
    {"M": {"a": EMPTY}},
    {"M": {"M": EMPTY}},
    {"M": {"a": {"M": {"b": EMPTY}}}},
    {"L": [EMPTY]},
    {"L": [{"M": {"n": EMPTY}}, {"M": {"other": EMPTY}}, EMPTY]},
    {"L": [{"L": [EMPTY]}, {"S": "{}"}]},
]


def untagged(value: Any) -> Any:
    """The value as DynamoDB Local's stream has it."""
    match value:
        case {"M": dict(members)}:
            named = {name: untagged(member) for name, member in members.items()}
            return {"M": named} if named else {}
        case {"L": list(elements)}:
            return {"L": [untagged(element) for element in elements]}
        case _:
            return value


def change(image: Image, old: Image) -> StreamRecord:
    raw, raw_old = (
        memoryview(json.dumps({**each, "pk": {"S": "a"}}, separators=(",", ":")).encode())
        for each in (image, old)
    )
    return StreamRecord(*numbers_of(7), "modify", {"pk": {"S": "a"}}, raw, raw_old, None)


def same(image: Image, mapping: TableMapping) -> None:
    """The plans of the image with tags and without are one, as are those of it as the old image."""
    plain: Image = {name: untagged(value) for name, value in image.items()}
    for tagged, bare in (
        (change(image, {}), change(plain, {})),
        (change({"n": {"N": "1"}}, image), change({"n": {"N": "1"}}, plain)),
    ):
        alone = comparable(plan(tagged, mapping))
        assert comparable(plan(bare, mapping)) == alone
        with planned_as_several():
            assert comparable(plan(bare, mapping)) == comparable(plan(tagged, mapping)) == alone


def plan(record: StreamRecord, mapping: TableMapping) -> WritePlan:
    return plan_batch([record], mapping, read_at=0)


def comparable(found: WritePlan) -> Any:
    """What is planned, without the records behind it."""
    letters = [(letter.target, letter.reason) for letter in found.dead_letters]
    writes = [
        (w.upserted.rows, w.deleted.rows, w.appends, w.kept.rows, w.upserted.children)
        for w in found.writes
    ]
    return writes, letters, found.outcomes, found.unmapped, found.unmapped_types


@pytest.mark.parametrize("name", MAPPINGS)
@pytest.mark.parametrize("doc", DOCS, ids=json.dumps)
def test_every_place_that_looks_sees_the_empty_map(name: str, doc: Any):
    same({"n": {"N": "1"}, "doc": doc, "own": EMPTY, "other": doc}, MAPPINGS[name])


@pytest.mark.parametrize("name", MAPPINGS)
@given(seed=st.integers(0, 10**9))
@settings(max_examples=examples(60), deadline=None)
def test_random_items_become_what_they_become_with_tags(name: str, seed: int):
    random = RandomItems(seed)
    image = {"doc": random.value(), **random.named_values(3)}
    readable = json.loads(json.dumps(image, default=lambda raw: raw.hex()))

    same({"n": {"N": "1"}, **readable}, MAPPINGS[name])


def test_an_item_of_empty_maps_makes_no_dead_letter():
    image: Image = {"doc": {}, "own": {"L": [{}, {"M": {"a": {}}}]}}

    found = plan(change(image, {}), MAPPINGS["columns"])

    assert not found.dead_letters
    assert found.writes[0].upserted.rows == [("a", None, "{}", '{"own":[{},{"a":{}}]}')]
