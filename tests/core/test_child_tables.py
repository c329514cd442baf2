"""Elements of lists, sets and maps become rows of their own, replaced with their parent's."""

from typing import Any

import pytest

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.row_guard import GuardRejection, accepted
from replicator.core.planning.write_plan import WritePlan
from replicator.core.table_spec import ChildSpec
from replicator.errors import ConfigurationError
from tests.support.builders import record, table_mapping, target
from tests.support.specs import child_spec, column_spec

LINES = child_spec(
    "public.lines",
    "lines",
    (column_spec("sku", "sku", "text"), column_spec("qty", "quantity", "integer")),
    position="line",
    rest="more",
)
TAGS = child_spec("public.tags", "tags", value=column_spec("tag", "tag", "text"))
OPTIONS = child_spec(
    "public.options", "options", (column_spec("price", "price", "numeric"),), map_key="option"
)


def line(sku: str, quantity: str = "1", **more: Any) -> dict[str, Any]:
    return {"M": {"sku": {"S": sku}, "quantity": {"N": quantity}, **more}}


def mapped(*children: ChildSpec, **options: Any) -> TableMapping:
    return table_mapping(target(children=children or (LINES, TAGS, OPTIONS), **options))


def plan(*records: Any, mapping: TableMapping | None = None) -> WritePlan:
    return plan_batch(records, mapping or mapped(), read_at=0)


def test_each_element_is_a_row_under_its_parents_key():
    found = plan(
        record(
            1,
            lines={"L": [line("mug", gift={"BOOL": True}), line("cup", "2")]},
            tags={"SS": ["b", "a"]},
            options={"M": {"red": {"M": {"price": {"N": "1.50"}}}, "": {"M": {}}}},
        )
    )

    [children] = found.writes[0].upserted.children
    assert children == (
        [("a", "0", "mug", "1", '{"gift":true}'), ("a", "1", "cup", "2", "{}")],
        [("a", "0", "a"), ("a", "1", "b")],
        [("a", "red", "1.5"), ("a", "", None)],
    )


@pytest.mark.parametrize("absent", [{}, {"lines": {"NULL": True}}, {"lines": {"L": []}}])
def test_an_item_without_elements_has_no_rows(absent):
    found = plan(record(1, n={"N": "1"}, **absent))

    assert found.writes[0].upserted.children == [([], [], [])]


def test_only_the_last_change_of_a_batch_has_children():
    found = plan(
        record(1, lines={"L": [line("mug")]}),
        record(2, lines={"L": [line("cup")]}),
        record(3, "b", lines={"L": [line("jar")]}),
        record(4, "b"),
    )

    [(lines, _, _)] = found.writes[0].upserted.children
    assert lines == [("a", "0", "cup", "1", "{}")]
    assert found.writes[0].deleted.rows == [("b",)]


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (
            {"lines": {"L": [line("mug"), line("cup", "1.5")]}},
            "attribute 'lines[1].quantity', column 'public.lines.qty': is not an integer",
        ),
        (
            {"lines": {"L": [{"S": "mug"}]}},
            "attribute 'lines[0]', column 'public.lines': is not a map, and has no `value` column",
        ),
        (
            {"lines": {"L": ["mug"]}},
            "attribute 'lines[0]', column 'public.lines': is not a map, and has no `value` column",
        ),
        ({"tags": {"NS": [[]]}}, "attribute 'tags': is not of the shape of its type"),
        (
            {"lines": {"M": {}}},
            "attribute 'lines': is a map, and the rows of public.lines come from a list or a set",
        ),
        (
            {"options": {"L": []}},
            "attribute 'options': is a list, and the rows of public.options come from a map",
        ),
        (
            {"tags": {"L": [{"M": {}}]}},
            "attribute 'tags[0]', column 'public.tags.tag': a map does not convert to text",
        ),
        (
            {"options": {"M": {"a\0b": {"M": {}}}}},
            "attribute 'options.a\\x00b', column 'public.options.option': holds a NUL character, "
            "which PostgreSQL cannot store",
        ),
    ],
)
def test_an_element_that_does_not_fit_rejects_its_item(attributes, reason):
    [letter] = plan(record(1, **attributes)).dead_letters

    assert letter.reason == reason


@pytest.mark.parametrize("untyped", [5, True, "mug", "NULL", [{"S": "mug"}]])
@pytest.mark.parametrize("map_key", [None, "option"])
def test_a_value_without_a_type_where_the_elements_are_rejects_its_item(map_key, untyped):
    child = child_spec(
        "public.options", "v.x", value=column_spec("v", "v", "text"), map_key=map_key
    )
    found = plan(record(1, v={"M": {"x": untyped}}), mapping=mapped(child))

    assert [letter.reason for letter in found.dead_letters] == [
        "attribute 'v.x': is not a typed value"
    ]


def test_a_list_that_a_child_takes_is_not_in_the_rest():
    mapping = mapped(LINES, rest="extra")
    found = plan(record(1, lines={"L": [line("mug")]}, other={"N": "1"}), mapping=mapping)

    assert found.writes[0].upserted.rows == [("a", None, '{"other":1}')]


def test_what_the_guard_turns_away_takes_its_children_along():
    found = plan(record(1, lines={"L": [line("mug")]}), record(2, "b", lines={"L": [line("cup")]}))
    place = [row[0] for row in found.writes[0].upserted.rows].index("b")
    away = GuardRejection("public.t", place, record(2, "b"), "older")

    [writes] = accepted(found, [away]).writes

    assert [row[0] for row in writes.upserted.rows] == ["a"]
    assert [children[0][0][0] for children in writes.upserted.children] == ["a"]


def test_a_changed_child_changes_the_fingerprint():
    assert mapped(LINES).fingerprint != mapped(LINES, TAGS).fingerprint != mapped().fingerprint


@pytest.mark.parametrize(
    ("children", "fault"),
    [
        ((LINES, LINES), "writes the target public.lines twice"),
        ((child_spec("public.t", "lines"),), "writes the target public.t twice"),
        ((child_spec("public.x", "lines", position="pk"),), "are one name"),
        (
            (child_spec("public.x", "a", (column_spec("b", "b", "text"),), value=TAGS.value),),
            "has `value` beside `columns`",
        ),
    ],
)
def test_a_child_table_that_cannot_be_is_refused(children, fault):
    with pytest.raises(ConfigurationError, match=fault):
        mapped(*children)
