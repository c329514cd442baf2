"""DynamoDB JSON as plain JSON."""

import json
from base64 import b64encode
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.core.values.canonical_numbers import canonical_number
from replicator.core.values.cells import Unfit
from replicator.core.values.json_text import json_object, json_text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"S": ""}, '""'),
        ({"S": 'a"\\\n\x01é😀'}, '"a\\"\\\\\\n\\u0001é😀"'),
        ({"S": '{"not": "parsed"}'}, '"{\\"not\\": \\"parsed\\"}"'),
        ({"N": "12345678901234567890123456789012345678"}, "12345678901234567890123456789012345678"),
        ({"N": "1E-3"}, "0.001"),
        ({"N": "1E+2"}, "100"),
        ({"N": "-0"}, "0"),
        ({"B": "AAE="}, '"AAE="'),
        ({"B": ""}, '""'),
        ({"BOOL": False}, "false"),
        ({"NULL": True}, "null"),
        ({"M": {}}, "{}"),
        ({"L": []}, "[]"),
        ({"L": [{"S": "a"}, {"NULL": True}, {"N": "1"}]}, '["a",null,1]'),
        ({"M": {"b": {"N": "1"}, "a": {"M": {"x": {"BOOL": True}}}}}, '{"b":1,"a":{"x":true}}'),
        ({"SS": ["b", "a"]}, '["a","b"]'),
        ({"NS": ["10", "9", "1.50"]}, "[1.5,9,10]"),
        ({"BS": ["/w==", "AA=="]}, '["AA==","/w=="]'),
        ({"S": "\\u0000 spelled out"}, '"\\\\u0000 spelled out"'),
    ],
)
def test_a_value_is_written_as_json(value, expected):
    assert json_text(value) == expected


@pytest.mark.parametrize(
    ("value", "inside", "reason"),
    [
        ({}, "", "has no type tag"),
        ({"L": [{"S": "a"}, {}]}, "[1]", "has no type tag"),
        ({"M": {"a": {"M": {"b": {}}}}}, ".a.b", "has no type tag"),
        ({"S": "a", "N": "1"}, "", "more than one type tag"),
        ({"X": "a"}, "", "unknown type tag"),
        ({"M": {"a": "text"}}, ".a", "not of the shape"),
        ({"S": 5}, "", "not of the shape"),
        ({"N": 5}, "", "not of the shape"),
        ({"BOOL": "true"}, "", "not of the shape"),
        ({"L": {}}, "", "not of the shape"),
        ({"M": []}, "", "not of the shape"),
        ({"SS": "abc"}, "", "not of the shape"),
        ({"NS": ["1", "NaN"]}, "", "not a number"),
        ({"N": "Infinity"}, "", "not a number"),
        ({"N": "1_000"}, "", "not a number"),
        ({"N": "٣"}, "", "not a number"),
        ({"N": ""}, "", "not a number"),
        ({"B": "!"}, "", "base64"),
        ({"S": "\0"}, "", "NUL"),
        ({"M": {"a": {"L": [{"S": "x\0"}]}}}, ".a[0]", "NUL"),
        ({"M": {"a\0": {"S": ""}}}, ".a\0", "the name holds a NUL"),
        ({"S": "\ud83d"}, "", "surrogate"),
        ({"SS": ["\ud83d"]}, "", "surrogate"),
        ({"M": {"\ud83d": {"S": ""}}}, ".\ud83d", "the name holds a lone surrogate"),
    ],
)
def test_what_jsonb_cannot_hold_is_refused_by_its_place(value, inside, reason):
    with pytest.raises(Unfit, match=reason) as refusal:
        json_text(value)

    assert refusal.value.inside == inside


def test_the_first_fault_of_an_object_is_named():
    with pytest.raises(Unfit) as refusal:
        json_object({"fine": {"S": ""}, "bad": {"M": {"deep": {"N": "x"}}}})

    assert refusal.value.inside == ".bad.deep"


@pytest.mark.parametrize(("nul", "expected"), [("strip", '{"ab":["c",1]}'), ("replace", None)])
def test_nul_is_handled_in_strings_and_names_as_told(nul, expected):
    value = {"M": {"a\0b": {"L": [{"S": "c\0"}, {"N": "1"}]}}}

    assert json_text(value, nul) == (expected or '{"a\ufffdb":["c\ufffd",1]}')


def test_names_that_become_one_by_stripping_are_refused():
    with pytest.raises(Unfit, match="differ only by NUL"):
        json_text({"M": {"a": {"N": "1"}, "a\0": {"N": "2"}}}, "strip")


def test_32_levels_and_more_are_written_and_absurd_depth_is_refused():
    def nested(levels):
        value: dict[str, Any] = {"S": "core"}
        for _ in range(levels):
            value = {"L": [value]}
        return value

    assert json_text(nested(32)) == "[" * 32 + '"core"' + "]" * 32
    with pytest.raises(Unfit, match="nested too deeply"):
        json_text(nested(100_000))


def test_no_value_is_quoted_in_a_reason():
    with pytest.raises(Unfit) as refusal:
        json_text({"N": "secret"})

    assert "secret" not in str(refusal.value)


numbers = st.decimals(allow_nan=False, allow_infinity=False).filter(
    lambda number: abs(number.adjusted()) < 130
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
values = st.recursive(
    st.one_of(
        texts.map(lambda text: ({"S": text}, text)),
        numbers.map(lambda number: ({"N": str(number)}, number)),
        st.binary().map(lambda raw: ({"B": b64encode(raw).decode()}, b64encode(raw).decode())),
        st.booleans().map(lambda flag: ({"BOOL": flag}, flag)),
        st.just(({"NULL": True}, None)),
        st.lists(texts, unique=True).map(lambda members: ({"SS": members}, sorted(members))),
        st.lists(numbers, unique=True).map(
            lambda members: ({"NS": [str(member) for member in members]}, sorted(members))
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner).map(
            lambda pairs: ({"L": [wire for wire, _ in pairs]}, [plain for _, plain in pairs])
        ),
        st.dictionaries(texts, inner).map(
            lambda pairs: (
                {"M": {name: wire for name, (wire, _) in pairs.items()}},
                {name: plain for name, (_, plain) in pairs.items()},
            )
        ),
    ),
    max_leaves=10,
)


@settings(max_examples=50)
@given(values)
def test_the_json_reads_back_as_the_value(pair):
    wire, plain = pair

    assert json.loads(json_text(wire), parse_float=Decimal, parse_int=Decimal) == plain


@given(numbers)
def test_canonical_numbers_keep_every_digit_and_are_canonical(number):
    text = canonical_number(str(number))

    assert Decimal(text) == number
    assert canonical_number(text) == text == canonical_number(f"{number:f}")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1.0", "1"),
        ("01", "1"),
        ("1e2", "100"),
        ("-0", "0"),
        ("+5", "5"),
        ("0.10", "0.1"),
        (".5", "0.5"),
        ("5.", "5"),
        ("0E+5", "0"),
        ("1E-130", "0." + "0" * 129 + "1"),
        ("9.99E125", "999" + "0" * 123),
        ("1E+131071", "1" + "0" * 131_071),
    ],
)
def test_numbers_have_one_form(text, canonical):
    assert canonical_number(text) == canonical


@pytest.mark.parametrize("text", ["1E+131072", "1E-16384", "1E999999999", "1." + "1" * 16_384])
def test_numbers_beyond_numeric_are_refused_quickly(text):
    with pytest.raises(Unfit, match="beyond what numeric holds"):
        canonical_number(text)
