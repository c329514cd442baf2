"""Planned together or change by change, a batch becomes the same plan."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.core.mapping.auto_columns import AutoColumn, with_auto_columns
from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.mapping.item_keys import item_key_json
from replicator.core.planning import columnar_plan
from replicator.core.planning.dead_letter import DeadLetter
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.write_plan import WritePlan
from replicator.core.stream.decoding.dynamodb_records import numbers_of
from replicator.core.stream_record import Event, StreamRecord
from replicator.core.table_spec import ChildSpec, Masking, SourceKey, TableSpec, TargetSpec
from tests.core.test_columnar_rows import wire
from tests.support.planned_together import planned_as_several
from tests.support.specs import column_spec
from tests.support.wide import every, examples

KEY = SourceKey((("pk", "S"),))
ALONE_BYTES_MAX = columnar_plan.ALONE_BYTES_MAX
COLUMNS = (
    column_spec("n", "n", "integer"),
    column_spec("t", "t", "text"),
    column_spec("j", "j", "jsonb"),
    column_spec("inner_name", "j.name", "text"),
)
OPEN = {"t": "open"}
CHILDREN = (
    ChildSpec("public.c", ("l",), value=column_spec("v", "v", "text"), position="p"),
    ChildSpec("public.m", ("j", "inner"), columns=COLUMNS[:1], map_key="k", rest="r"),
)
TARGETS: dict[str, list[TargetSpec]] = {
    "plain": [TargetSpec("public.t", columns=COLUMNS)],
    "rest": [TargetSpec("public.t", columns=COLUMNS[:1], rest="others")],
    "document": [TargetSpec("public.t", columns=None)],
    "routed": [
        TargetSpec("public.a", columns=COLUMNS, when=OPEN),
        TargetSpec("public.b", columns=COLUMNS, when={"pk": {"begins_with": "b"}}),
        TargetSpec("public.c", columns=COLUMNS, when={"pk": "a", "n": {"gt": 1}}),
    ],
    "history": [TargetSpec("public.t", columns=COLUMNS, when=OPEN, history="public.h")],
    "soft": [TargetSpec("public.t", columns=COLUMNS, when=OPEN, on_delete="soft")],
    "auto": [TargetSpec("public.t", columns=COLUMNS[3:], auto=True, rest="others")],
    "automatic": [TargetSpec("public.s", columns=(), auto=True, rest="others")],
    "children": [TargetSpec("public.t", columns=COLUMNS[:1], children=CHILDREN)],
    "split": [
        TargetSpec(
            "public.t",
            columns=(
                column_spec("left_part", "left", "text", part="left"),
                column_spec("right_part", "right", "text", part="right", on_invalid="null"),
            ),
            split=(("j.name", "{left}#{right}"),),
        )
    ],
    "list of maps": [
        TargetSpec(
            "public.t",
            columns=(),
            children=(ChildSpec("public.c", ("l",), columns=COLUMNS[:2], rest="r"),),
        )
    ],
    "auto children": [
        TargetSpec("public.t", columns=(), auto=True, rest="others", children=CHILDREN)
    ],
    "ignored": [TargetSpec("public.t", columns=COLUMNS, on_delete="ignore", on_expire="delete")],
}

PERSONAL: dict[str, tuple[tuple[str, Masking], ...]] = {
    "mapped": (("t", "hash"), ("j.name", "mask"), ("j.gone", "drop")),
    "left": (("other", "drop"), ("t", "hash")),
    "inside": (("other.name", "drop"), ("l[0]", "mask"), ("j", "drop")),
}
AUTO = [
    AutoColumn("public.t", name, kind)
    for name, kind in (("t", "text"), ("j", "jsonb"), ("l", "text[]"))
]

UNTYPED: list[Any] = [
    5,
    "x",
    "NULL",
    "S",
    True,
    [],
    ["S"],
    [{"S": "x"}],
    {"S": 5},
    {"S": "x", "N": "1"},
]
numbers = st.sampled_from(["1", "2", "1.5", "x"]).map(lambda number: {"N": number})
texts = st.sampled_from(["open", "shut", "a\0b", "ü"]).map(lambda text: {"S": text})
maps = st.sampled_from(
    [
        *({"M": {"name": {"S": "x"}}}, {"M": {}}, {"M": 1}, {"L": [{"NS": ["1"]}]}, {"NULL": True}),
        *({"M": {"inner": {"M": {"a": {"M": {"n": {"N": number}}}}}}} for number in ("1", "x")),
        *({"M": {"name": {"S": text}}} for text in ("a#b", "#")),
    ]
)
lists = st.sampled_from([{"L": [{"S": "x"}, {"N": "1"}]}, {"SS": ["b", "a"]}, {"L": [{"L": []}]}])
untyped = st.sampled_from(UNTYPED)
maps |= st.builds(
    lambda name, value: {"M": {name: value}}, st.sampled_from(["inner", "name"]), untyped
)
maps |= untyped.map(lambda value: {"M": {"inner": {"M": {"a": value}}}})
lists |= st.builds(
    lambda tag, value: {tag: [value]}, st.sampled_from(["L", "SS", "NS", "BS"]), untyped
)
lists |= st.builds(lambda tag, value: {tag: value}, st.sampled_from(["L", "SS", "NS"]), untyped)
items = st.fixed_dictionaries(
    {},
    optional={
        "n": numbers | st.just({"NULL": True}),
        "t": texts | st.just({}) | numbers,
        "j": maps | texts,
        "other": texts | maps,
        "l": lists | texts,
    },
)
images = st.none() | items.map(wire)
changes = st.lists(
    st.tuples(st.sampled_from("abc"), images, images, st.booleans(), st.booleans()), max_size=8
)


@pytest.fixture(scope="module", autouse=True)
def alone_as_well() -> Iterator[None]:
    """Have a small item that comes alone planned as several are."""
    with planned_as_several():
        yield


def records_of(drawn: list[Any]) -> list[StreamRecord]:
    return [
        StreamRecord(
            *numbers_of(number),
            event_of(new, removed=removed),
            {"pk": {"S": key}},
            None if new is None or removed else memoryview(new),
            None if old is None else memoryview(old),
            float(number),
            expired,
        )
        for number, (key, new, old, removed, expired) in enumerate(drawn, 1)
    ]


def event_of(new: bytes | None, *, removed: bool) -> Event:
    return "remove" if removed else "insert" if new is None else "modify"


def one_by_one(mapping: TableMapping) -> TableMapping:
    """The same mapping, without the way for usual items."""
    return replace(
        mapping, targets=tuple(replace(each, usual_rows=None) for each in mapping.targets)
    )


def facts(plan: WritePlan) -> list[Any]:
    """What a plan says, in an order of its own."""
    said: list[Any] = [plan.outcomes, plan.ranks, plan.unmapped, plan.unmatched, plan.candidates]
    said.append({target: set(types) for target, types in plan.unmapped_types.items()})
    said.append(sorted(item_key_json(key, KEY) for key in plan.item_keys))
    said.append(sorted(repr(told(each)) for each in plan.dead_letters))
    for writes in plan.writes:
        for each in (writes.upserted, writes.deleted, writes.softly_deleted, writes.kept):
            numbers = [record.version for record in each.records]
            said.append(sorted(map(repr, zip(each.rows, numbers, strict=True))))
        keys = [row[0] for row in writes.upserted.rows]
        if children := writes.upserted.children:
            said.append(sorted(map(repr, zip(keys, children, strict=True))))
        said.append(writes.appends)
    return said


def told(letter: DeadLetter) -> list[Any]:
    """What a dead letter says."""
    record = letter.record
    images = [None if raw is None else bytes(raw) for raw in (record.new_image, record.old_image)]
    flags = [letter.superseded, letter.of_history]
    return [letter.target, record.version, letter.reason, *flags, *images]


@pytest.mark.parametrize(
    "unmatched", ["ignore", pytest.param("dead_letter", marks=pytest.mark.wide)]
)
@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
@given(drawn=changes, scanned=st.booleans())
@settings(max_examples=examples(40), deadline=None)
def test_what_is_planned_together_is_what_single_changes_make(targets, unmatched, drawn, scanned):
    spec = TableSpec("orders", "orders", tuple(targets), unmatched=unmatched)
    mapping, records = compile_table(with_auto_columns(spec, AUTO), KEY), records_of(drawn)

    together = plan_batch(records, mapping, read_at=0, scanned=scanned)
    alone = plan_batch(records, one_by_one(mapping), read_at=0, scanned=scanned)

    assert facts(together) == facts(alone)


@pytest.mark.parametrize("personal", PERSONAL.values(), ids=PERSONAL)
@pytest.mark.parametrize(
    "name",
    [
        *("plain", "rest", "routed", "children", "auto children"),
        *every(4, of=["document", "history", "automatic", "auto"]),
    ],
)
@given(drawn=changes)
@settings(max_examples=examples(40), deadline=None)
def test_personal_data_is_hidden_both_ways(name, personal, drawn):
    targets = tuple(TARGETS[name])
    spec = TableSpec("orders", "orders", targets, personal=personal, salt=b"0123456789abcdef")
    mapping, records = compile_table(with_auto_columns(spec, AUTO), KEY), records_of(drawn)

    together = plan_batch(records, mapping, read_at=0)
    alone = plan_batch(records, one_by_one(mapping), read_at=0)

    assert facts(together) == facts(alone)


def test_the_first_change_of_a_batch_says_which_type_an_attribute_has():
    """Also where the first one is left by the narrow way later than a change after it."""
    spec = TableSpec("orders", "orders", tuple(TARGETS["auto children"]))
    mapping = compile_table(spec, KEY)
    first = wire({"pk": {"S": "a"}, "j": {"M": {"name": {"S": "x"}}}})
    second = wire({"pk": {"S": "b"}, "j": {"S": "x"}, "other": {"S": "x"}})
    records = records_of([("a", first, None, False, False), ("b", second, None, False, False)])

    together = plan_batch(records, mapping, read_at=0)

    assert together.candidates == {"public.t": {"j": "M", "other": "S"}}
    assert facts(together) == facts(plan_batch(records, one_by_one(mapping), read_at=0))


@pytest.mark.parametrize("size", [100, ALONE_BYTES_MAX + 1])
def test_a_small_item_that_comes_alone_is_planned_by_itself(
    size: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(columnar_plan, "ALONE_BYTES_MAX", ALONE_BYTES_MAX)
    planned = list[int]()
    mapping = compile_table(TableSpec("orders", "orders", tuple(TARGETS["plain"])), KEY)
    [target] = mapping.targets
    rows_of = target.usual_rows
    assert rows_of is not None

    def noted(records: Any) -> Any:
        planned.append(len(records))
        return rows_of(records)

    watched = replace(mapping, targets=(replace(target, usual_rows=noted),))
    image = wire({"pk": {"S": "a"}, "t": {"S": "x" * size}})
    alone = records_of([("a", image, None, False, False)])
    two = records_of([(key, image, None, False, False) for key in "ab"])
    again = records_of([("a", image, None, False, False)] * 3)

    for records in (alone, two, again):
        plan = plan_batch(records, watched, read_at=0.0)
        assert facts(plan) == facts(plan_batch(records, one_by_one(mapping), read_at=0.0))

    assert planned == ([2] if size == 100 else [1, 2, 1])


def test_usual_items_of_personal_and_automatic_tables_are_planned_together():
    hidden = TableSpec("orders", "orders", tuple(TARGETS["plain"]), personal=PERSONAL["mapped"][1:])
    auto = with_auto_columns(TableSpec("orders", "orders", tuple(TARGETS["auto"])), AUTO)
    image = wire({"pk": {"S": "a"}, "t": {"S": "open"}})

    for spec in (hidden, auto):
        rows_of = compile_table(spec, KEY).targets[0].usual_rows

        assert rows_of is not None
        assert rows_of(records_of([("a", image, None, False, False)])).rows != [None]


@pytest.mark.parametrize("scanned", [False, True])
@pytest.mark.parametrize(
    ("attribute", "rest"),
    [
        ({"j": {"S": "N"}}, '{"j":"N"}'),
        ({"l": {"L": [{"S": "x"}]}}, '{"l":["x"]}'),
        ({"t": {"M": {"a": {"L": []}, "z": {"N": "1"}}}}, '{"t":{"a":[],"z":1}}'),
    ],
)
def test_a_value_of_another_type_that_a_child_reads_too_stays_in_the_rest(attribute, rest, scanned):
    more = ChildSpec("public.d", ("t", "a"), value=column_spec("v", "v", "text"))
    target = replace(TARGETS["auto children"][0], children=(*CHILDREN, more))
    mapping = compile_table(with_auto_columns(TableSpec("orders", "orders", (target,)), AUTO), KEY)
    records = records_of([("a", wire({"pk": {"S": "a"}} | attribute), None, False, False)])

    plan = plan_batch(records, mapping, read_at=0, scanned=scanned)

    assert plan.writes[0].upserted.rows == [("a", None, None, None, rest)]
