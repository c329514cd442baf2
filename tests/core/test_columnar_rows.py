"""What is made of usual images in less time is what the converters make of them, or nothing."""

import json
import tracemalloc
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.core.mapping.auto_columns import AutoColumn
from replicator.core.mapping.compile_mapping import TargetMapping, compile_target
from replicator.core.stream.decoding.dynamodb_records import numbers_of
from replicator.core.stream_record import StreamRecord
from replicator.core.table_spec import ChildSpec, ColumnSpec, OnDelete, SourceKey, TargetSpec
from replicator.core.values.column_types import ROWS, parse_type
from replicator.core.values.columnar_rows import MadeRows
from replicator.core.values.dynamodb_json import decode_image
from replicator.core.values.json_text import (
    HELD_BYTES_MAX,
    json_object,
    json_text,
    object_texts,
    objects_alike,
    plain_texts,
)
from replicator.errors import ValueRejected
from tests.support.random_items import NUMBERS, STRINGS
from tests.support.specs import column_spec
from tests.support.type_samples import arrays_of, samples_of
from tests.support.wide import examples, wide_but

KEY = SourceKey((("pk", "S"), ("sk", "N")))
SAMPLED = {"char": "char(3)"}
COLUMNS = (
    *(("t", "text"), ("v", "varchar(3)"), ("n", "numeric"), ("m", "numeric(5,2)")),
    *(("q", "numeric(2,2)"), ("i", "integer"), ("s", "smallint"), ("l", "bigint")),
    *(("d", "double precision"), ("b", "boolean"), ("y", "bytea"), ("j", "jsonb"), ("u", "uuid")),
    *(("z", "timestamptz"), ("p", "timestamp"), ("a", "date"), ("ta", "text[]")),
    *(("na", "numeric[]"), ("ya", "bytea[]"), ("ia", "bigint[]")),
    *((f"a {name}", SAMPLED.get(name, name)) for name in ROWS),
    *((f"many {name}", f"{SAMPLED.get(name, name)}[]") for name in ROWS),
    *(("p3", "timestamp(3)"), ("z0", "timestamptz(0)"), ("i1", "interval(1)"), ("k2", "time(2)")),
)
NAMES = [name for name, _ in COLUMNS]
NESTED = ("json", "jsonb", "hstore", "vector", "halfvec")
"""The types that take maps or lists."""
TYPES = {name: parse_type(kind) for name, kind in COLUMNS}


def target(*more: ColumnSpec, soft: bool = False, rest: str | None = None) -> TargetMapping:
    columns = (*(ColumnSpec(name, (name,), parse_type(kind)) for name, kind in COLUMNS), *more)
    policy: OnDelete = "soft" if soft else "delete"
    return compile_target(TargetSpec("public.t", columns=columns, on_delete=policy, rest=rest), KEY)


TARGETS = [
    target(),
    target(
        column_spec("e", "n2", "timestamptz", format="epoch_ms"),
        column_spec("inner_name", "j.name", "text"),
        column_spec("first", "li[0]", "jsonb"),
        column_spec("again", "t", "varchar(2)", on_invalid="null"),
        column_spec("stripped", "t2", "text", nul="strip"),
        column_spec("replaced", "j2", "jsonb", nul="replace"),
        column_spec("of_key", "pk", "text"),
        soft=True,
    ),
    compile_target(
        TargetSpec(
            "public.t",
            columns=(
                column_spec("z", "z", "timestamptz", fraction="truncate"),
                column_spec("p", "p", "timestamp", fraction="truncate"),
                column_spec("z0", "z0", "timestamptz(0)", fraction="truncate"),
                column_spec("p3", "p3", "timestamp(3)", fraction="truncate"),
                column_spec("i", "i", "timestamptz", format="epoch_ns", fraction="truncate"),
                column_spec("l", "l", "date", format="epoch_days"),
                column_spec("j", "j", "jsonb"),
            ),
        ),
        KEY,
    ),
    target(column_spec("inner_name", "j.name", "text"), rest="others"),
    compile_target(TargetSpec("public.t", columns=None, nul="strip"), KEY),
    compile_target(
        TargetSpec(
            "public.t",
            columns=tuple(
                AutoColumn("public.t", name, kind).spec
                for name, kind in (
                    ("t", "text"),
                    ("n", "numeric"),
                    ("j", "jsonb"),
                    ("ta", "text[]"),
                )
            ),
            auto=True,
            rest="others",
            children=(
                ChildSpec("public.c", ("ta",), value=column_spec("v", "v", "jsonb"), position="p"),
                ChildSpec("public.d", ("j", "M", "L"), value=column_spec("v", "v", "jsonb")),
                ChildSpec("public.e", ("t", "M"), rest="r", map_key="k"),
            ),
        ),
        KEY,
    ),
    compile_target(
        TargetSpec(
            "public.t",
            columns=tuple(
                ColumnSpec(name, (name,), TYPES[name])
                for name, _ in COLUMNS
                if not TYPES[name].array and TYPES[name].row.name not in NESTED
            ),
        ),
        KEY,
    ),
]
IDS = ["plain", "with paths", "cut times", "rest", "document", "auto and children", "flat"]

SURROGATES = ["\ud800", '"\udc00', "\\\udfff"]
"""What `wire` writes as escapes, or as bytes that are not UTF-8."""
texts = (
    st.sampled_from(STRINGS)
    | st.text(max_size=5)
    | st.sampled_from(['}}"', "]}", '{"S":"x"}', *SURROGATES])
)
numbers = st.sampled_from(NUMBERS) | st.decimals(allow_nan=False, allow_infinity=False).map(str)
times = st.datetimes().map(lambda moment: moment.isoformat() + "Z") | st.sampled_from(
    ["2024-02-30", "2024-02-29", "2024-01-01T00:00:00", "now", "infinity"]
)
binaries = st.binary(max_size=4).map(lambda raw: b64encode(raw).decode())
scalars = st.one_of(
    st.fixed_dictionaries({"S": texts | times}),
    st.fixed_dictionaries({"N": numbers}),
    st.fixed_dictionaries({"B": binaries | texts}),
    st.fixed_dictionaries({"BOOL": st.booleans()}),
    st.just({"NULL": True}),
    st.fixed_dictionaries({"SS": st.lists(texts, max_size=3)}),
    st.fixed_dictionaries({"NS": st.lists(numbers, max_size=3)}),
    st.fixed_dictionaries({"BS": st.lists(binaries, max_size=3)}),
)
names_inside = st.sampled_from(["M", "NS", "S", "N", "NULL", "name", "}}", "]}", "a[0]}"]) | texts
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"M": st.dictionaries(names_inside, inner, max_size=3)}),
        st.fixed_dictionaries({"L": st.lists(inner, max_size=3)}),
    ),
    max_leaves=8,
)
malformed = st.one_of(
    st.just({}),
    st.just({"S": "a", "N": "1"}),
    st.just({"S": "a", "NULL": False}),
    st.just({"S": "a", "NULL": True}),
    st.just({"NULL": False}),
    st.just({"M": {"a": "b"}}),
    st.just({"M": {"a": {"b": {"S": "c"}}}}),
    st.just({"L": ["a", {"S": "b"}]}),
    st.just({"X": "a"}),
    st.dictionaries(
        st.sampled_from(["S", "N", "B", "BOOL", "M", "L", "SS", "NULL", "X"]),
        st.none() | st.booleans() | st.integers() | texts | st.lists(texts, max_size=2) | values,
        max_size=2,
    ),
)


def values_near(name: str) -> st.SearchStrategy[tuple[str, Any]]:
    """An attribute of this name; where a column takes it, often a value that is near its type."""
    near = TYPES.get(name)
    if near is None:
        return st.tuples(st.just(name), values | malformed)
    samples = st.sampled_from((arrays_of if near.array else samples_of)(near.name))
    return st.tuples(st.just(name), samples | samples | values | malformed)


OTHERS = ["n2", "li", "t2", "j2", "other", "aws:rep:deleting", 'a"b', "\ud800"]
attributes = st.lists(st.sampled_from([*NAMES, *OTHERS]).flatmap(values_near), max_size=8).map(dict)
keys = st.fixed_dictionaries(
    {"pk": st.just({"S": "a"}) | st.fixed_dictionaries({"S": texts}), "sk": st.just({"N": "1"})}
) | st.just({"pk": {"S": "a"}})


def wire(document: Any, *, ascii_only: bool = False) -> bytes:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=ascii_only)
    return text.encode("utf-8", "surrogatepass")


def by_steps(mapping: TargetMapping, keys: Any, raw: bytes) -> Any:
    """The row and what is unmapped; None for a rejected one."""
    try:
        image = decode_image(raw)
        return mapping.row_of(keys, image), sorted(mapping.unmapped(image))
    except ValueRejected:
        return None


def rows_of(mapping: TargetMapping, records: list[StreamRecord]) -> MadeRows:
    assert mapping.usual_rows is not None
    return mapping.usual_rows(records)


def as_record(keys: Any, raw: bytes) -> StreamRecord:
    return StreamRecord(*numbers_of(1), "modify", keys, memoryview(raw), None, None)


@pytest.mark.parametrize("mapping", TARGETS, ids=IDS)
@given(data=st.data())
@settings(max_examples=examples(200), deadline=None)
def test_a_row_of_a_usual_image_is_the_one_its_converters_make(mapping, data):
    drawn = data.draw(st.lists(st.tuples(attributes, keys, st.booleans()), min_size=1, max_size=4))
    raws = [wire(item | its_keys, ascii_only=ascii_only) for item, its_keys, ascii_only in drawn]

    made = rows_of(
        mapping,
        [as_record(its_keys, raw) for (_, its_keys, _), raw in zip(drawn, raws, strict=True)],
    )

    untaken: Counter[str] = Counter()
    for row, (_, its_keys, _), raw in zip(made.rows, drawn, raws, strict=True):
        if row is not None:
            expected, unmapped = by_steps(mapping, its_keys, raw)
            assert row == expected
            untaken.update(unmapped)
    assert made.untaken == untaken


@pytest.mark.parametrize("mapping", TARGETS, ids=IDS)
@pytest.mark.parametrize(
    "value",
    [
        {"S": None, "BOOL": False},
        {"BOOL": False, "NULL": None},
        {"N": "1", "S": None},
        {"SS": None, "L": []},
        {"S": None},
        {"NULL": None},
    ],
    ids=str,
)
def test_a_tag_whose_value_is_null_is_no_usual_value(mapping, value):
    keys = {"pk": {"S": "a"}, "sk": {"N": "1"}}
    for name in NAMES:
        raw = wire(keys | {name: value})
        [row] = rows_of(mapping, [as_record(keys, raw)]).rows
        expected = by_steps(mapping, keys, raw)
        assert row is None or (expected is not None and row == expected[0]), name


USUAL: dict[str, Any] = {
    "pk": {"S": "a"},
    "sk": {"N": "1"},
    "t": {"S": "größer"},
    "v": {"S": "abc"},
    "n": {"N": "12345678901234567890.5"},
    "m": {"N": "-999.25"},
    "q": {"N": "0.25"},
    "i": {"N": "123456789"},
    "l": {"N": "-5"},
    "d": {"N": "0.1"},
    "b": {"BOOL": False},
    "y": {"B": "AAE="},
    "j": {"M": {"M": {"M": {"L": {"L": [{"N": "1"}, {"S": "}}"}]}}}, "z": {"NULL": True}}},
    "z": {"S": "2024-02-29T12:00:00.5Z"},
    "ta": {"SS": ["b", "a"]},
    "a": {"NULL": True},
}


@pytest.mark.parametrize("other", [{}, {"other": {"S": "x"}}], ids=["mapped", "drift"])
@pytest.mark.parametrize("mapping", TARGETS, ids=IDS)
def test_a_usual_image_makes_its_row_beside_others_that_make_none(mapping, other):
    raw = wire(USUAL | other)
    its_keys = {name: USUAL[name] for name in ("pk", "sk")}
    spoilt = {"j": {"M": 1}, "b": {"BOOL": 1}}  # one of them wherever the other is no column
    broken: list[Any] = [spoilt, {"t": {}}, {"a\0": {"S": "\0"}}]
    odd = [wire(USUAL | each) for each in broken]

    made = rows_of(mapping, [as_record(its_keys, each) for each in (odd[0], raw, *odd[1:])])

    expected, unmapped = by_steps(mapping, its_keys, raw)
    assert made.rows[1] == expected
    assert made.rows[0] is None
    assert set(unmapped) <= made.untaken.keys()


def test_a_name_that_the_decoder_cannot_be_told_leaves_all_images_to_the_converters():
    mapping = target(column_spec("odd", '"a""b"', "text"))

    assert mapping.usual_rows is None


@given(drawn=st.lists(values | malformed, max_size=4))
@settings(max_examples=examples(500), deadline=None)
def test_plain_text_of_typed_json_is_what_its_decoded_value_becomes(drawn):
    found = plain_texts([wire(value) for value in drawn])

    assert len(found) == len(drawn)
    for value, plain in zip(drawn, found, strict=True):
        if plain is not None:
            expected = json.loads(json_text(value), parse_float=str)
            assert json.loads(plain, parse_float=str) == expected


@pytest.mark.parametrize(
    "value",
    [
        {"S": "a"},
        {"S": 'a"b\\\n}}'},
        {"L": [{"S": "a\\"}, {"S": '\\"'}, {"S": '"'}]},
        {"M": {}},
        {"L": []},
        {"SS": ["b", "a", "c,d"]},
        {"SS": ['"', "b\\", "a\n", "\x01", "ü"]},
        {"NS": ["10", "9", "-2.5", "0"]},
        {"BS": ["AQI=", "AAE=", ""]},
        {"M": {"a[0]": {"S": "}]"}, "{b}": {"NS": ["2", "1"]}}},
        {"S": "\x01\x1f"},
        {"M": {"M": {"S": "a"}, "L": {"M": {"L": {"L": [{"M": {}}, {"L": []}]}}}}},
        {"L": [{"N": "-1.5"}, {"BOOL": True}, {"NULL": True}, {"B": "AA=="}, {"S": "]}"}]},
    ],
)
def test_usual_typed_json_needs_no_decoding(value):
    """Beside a value with an escape of Unicode, which is read with more care, and without one."""
    assert plain_texts([wire({"S": "\0"}), wire(value)]) == [None, json_text(value)]
    assert plain_texts([wire({"S": "a"}), wire(value)]) == ['"a"', json_text(value)]


def without_keys(names: Iterable[str]) -> list[str]:
    return [name for name in names if name not in ("pk", "sk")]


@given(data=st.data())
@settings(max_examples=examples(500), deadline=None)
def test_the_json_of_an_image_is_that_of_its_decoded_attributes(data):
    """Several batches meet one function, which remembers what is around the scalars."""
    texts_of = object_texts(without_keys)
    named = st.sampled_from(["pk", "sk", "pk2", "M", "S", "}", "a]"]) | texts
    images = st.dictionaries(named, values | values | malformed, max_size=5)
    for batch in data.draw(st.lists(st.lists(images, max_size=4), max_size=3)):
        found = texts_of([wire(image) for image in batch])

        assert len(found) == len(batch)
        for image, text in zip(batch, found, strict=True):
            if text is not None:
                assert text == json_object({name: image[name] for name in without_keys(image)})


@pytest.mark.parametrize(
    "image",
    [
        {"pk": {"S": "a"}, "sk": {"N": "1"}},
        {"pk": {"S": "a"}, "a": {"S": "b"}, "sk": {"N": "1"}},
        {"a": {"S": "b"}, "pk": {"S": 'a"'}, "sk": {"B": "AAE="}, "b": {"M": {"pk": {"S": "c"}}}},
        {"a": {"M": {"pk": {"S": "c"}, "sk": {"L": []}}}, "pk": {"S": "a"}, "sk": {"NULL": True}},
        {"pk": {"M": {"pk": {"S": "a"}, "b": {"NS": ["2", "1"]}}}, "sk": {"S": "b"}},
        {"pk": {"S": "a"}, "M": {"M": {"M": {"M": {}}}}, "sk": {"S": "b"}, "ü": {"S": "ü"}},
        {"a": {"S": "b"}},
        {},
    ],
)
def test_attributes_that_are_left_out_of_a_usual_image_need_no_decoding(image):
    [alone] = object_texts(without_keys)([wire(image)])
    [first, _, last] = object_texts(without_keys)([wire(image), wire({"a": "b"}), wire(image)])

    assert alone == first == last
    assert alone == json_object({name: image[name] for name in without_keys(image)})


def test_an_image_that_names_an_attribute_twice_is_left_to_be_decoded():
    raw = b'{"pk":{"S":"a"},"a":{"S":"b"},"a":{"S":"c"}}'

    assert object_texts(without_keys)([raw]) == [None]


@pytest.mark.parametrize(
    "image_of",
    wide_but(
        "short",
        "long",
        of={
            "short": lambda number: {f"{number}": {"S": "a"}},
            "long": lambda number: {f"{number}-{'n' * 200}": {"S": "a"}},
            "left out": lambda number: {"pk": {"L": [{"N": "1"}] * 20}, f"{number}": {"S": "a"}},
            "unusual": lambda number: {"a": {"S": f"\0{number}-{'n' * 5_000}"}},
        },
    ),
)
def test_what_is_around_the_scalars_of_images_is_not_remembered_for_ever(image_of: Any):
    texts_of = object_texts(without_keys)
    batches = [range(first, first + 500) for first in range(0, 10_000, 500)]
    tracemalloc.start()
    held = []
    for batch in batches:
        texts_of([wire(image_of(number)) for number in batch])
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()

    assert max(held) < 1.5 * HELD_BYTES_MAX


@given(drawn=st.lists(st.fixed_dictionaries({"pk": scalars, "sk": scalars}), max_size=4))
@settings(max_examples=examples(500), deadline=None)
def test_objects_that_are_alike_are_what_each_of_them_becomes(drawn):
    found = objects_alike(drawn)

    if found is not None:
        assert found == [json_object(image) for image in drawn]


def test_objects_of_the_same_types_are_alike():
    keys = [{"pk": {"S": f'"{number}'}, "sk": {"N": f"{number}.0"}} for number in range(3)]

    assert objects_alike(keys) == [json_object(each) for each in keys]
    assert objects_alike([*keys, {"pk": {"S": "\0"}, "sk": {"N": "1"}}]) is None
    assert objects_alike([*keys, {"pk": {"N": "1"}, "sk": {"N": "1"}}]) is None
    assert objects_alike([*keys, {"sk": {"N": "1"}, "pk": {"S": "a"}}]) is None
    assert objects_alike([]) == []
    assert objects_alike([{}, {}]) == ["{}", "{}"]
    assert objects_alike([{}, keys[0]]) is None
    assert objects_alike([{"%s": {"S": "%"}}]) == ['{"%s":"%"}']


@pytest.mark.parametrize(
    "value",
    [
        {"M": {"}}": {"S": "a"}}},
        {"M": {'"': {"S": "a"}}},
        {"S": "\0"},
        {"NS": ["1", "01"]},
        {"NS": ["1", 2]},
        {"NS": []},
        {"BS": ["A"]},
        {"N": "1E3"},
        {"N": "01"},
        {"B": "A"},
        {"M": {"a": "b"}},
        {"M": {"S": "b"}},
        {"M": {"a": {"x": {"S": "b"}}}},
        {"L": ["a"]},
        {"S": "a", "N": "1"},
    ],
)
def test_other_typed_json_is_left_to_be_decoded(value):
    assert plain_texts([wire(value)]) == [None]


@pytest.mark.parametrize("text", SURROGATES)
@pytest.mark.parametrize("value_of", [lambda text: {"S": text}, lambda text: {"SS": ["a", text]}])
def test_a_surrogate_that_is_no_text_leaves_the_values_beside_it_usual(value_of: Any, text: str):
    usual = wire({"S": "a"})

    assert plain_texts([usual, wire(value_of(text)), usual]) == ['"a"', None, '"a"']


@pytest.mark.parametrize("mapping", TARGETS, ids=IDS)
@pytest.mark.parametrize("name", [b"\xed\xa0\x80", b"\xff"])
def test_a_name_that_is_no_text_leaves_the_images_beside_it_usual(mapping, name: bytes):
    its_keys = {name: USUAL[name] for name in ("pk", "sk")}
    usual = wire(USUAL)
    odd = usual[:-1] + b',"%s":{"S":"a"}}' % name

    made = rows_of(mapping, [as_record(its_keys, raw) for raw in (usual, odd, usual)])

    expected, _ = by_steps(mapping, its_keys, usual)
    assert list(made.rows) == [expected, None, expected]


def test_an_unusual_value_leaves_those_beside_it_usual():
    values: list[Any] = [{"M": {"a": {"N": str(number)}}} for number in range(100)]
    values[40] = {"M": {"a": {"N": "1E3"}}}
    typed = [*map(wire, values), b'{"S":"\xff"}']

    found = plain_texts(typed)

    assert [place for place, text in enumerate(found) if text is None] == [40, 100]


@pytest.mark.parametrize("near", [arrays_of, samples_of], ids=["arrays", "single values"])
@pytest.mark.parametrize("name", ROWS)
def test_every_type_makes_usual_rows_of_most_of_its_values(name: str, near: Any):
    """A type whose values all were left to the converters would be right, and slow."""
    kind = SAMPLED.get(name, name) + ("[]" if near is arrays_of else "")
    columns = (ColumnSpec("c", ("c",), parse_type(kind)),)
    mapping = compile_target(TargetSpec("public.t", columns=columns), KEY)
    its_keys = {"pk": {"S": "a"}, "sk": {"N": "1"}}

    made = 0
    for value in near(name):
        raw = wire({**its_keys, "c": value})
        expected = by_steps(mapping, its_keys, raw)
        [row] = rows_of(mapping, [as_record(its_keys, raw)]).rows
        assert row is None or row == expected[0]
        made += row is not None and expected is not None
    assert made
