"""Images decoded and keys compared."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.core.mapping.item_keys import item_key, item_key_json
from replicator.core.table_spec import SourceKey
from replicator.core.values.cells import Unfit
from replicator.core.values.dynamodb_json import decode_image, sorted_members, storable_text
from replicator.errors import UnknownRecord, ValueRejected

NUMBER_KEY = SourceKey((("id", "N"),))
EMPTY: dict[str, Any] = {"M": {}}
PAIR = SourceKey((("pk", "S"), ("sk", "B")))


def number_key(text):
    return item_key({"id": {"N": text}}, NUMBER_KEY)


def test_an_image_is_decoded_from_bytes_and_from_a_view_of_a_page():
    raw = b'{"a":{"S":"x"},"b":{"L":[{"N":"1"}]}}'

    assert decode_image(raw) == {"a": {"S": "x"}, "b": {"L": [{"N": "1"}]}}
    assert decode_image(memoryview(raw)) == decode_image(raw)


def test_a_lone_surrogate_does_not_spoil_the_other_attributes():
    image = decode_image(b'{"bad":{"S":"\\ud83d"},"good":{"S":"x"}}')

    assert image["good"] == {"S": "x"}
    assert image["bad"] == {"S": "\ud83d"}


@pytest.mark.parametrize("raw", [b'{"odd":5}', b'{"odd":null}', b'{"odd":"text"}'])
def test_an_attribute_that_is_no_typed_value_is_rejected_by_name(raw):
    with pytest.raises(ValueRejected, match="'odd'"):
        decode_image(raw)


@pytest.mark.parametrize(
    ("raw", "image"),
    [
        (b'{"a":{}}', {"a": {"M": {}}}),
        (b'{"M":{}}', {"M": {"M": {}}}),
        (b'{"M":{"M":{}}}', {"M": {"M": {}}}),
        (b'{"M":{"M":{"M":{}}}}', {"M": {"M": {"M": {"M": {}}}}}),
        (b'{"a":{"M":{"M":{}}}}', {"a": {"M": {"M": {"M": {}}}}}),
        (b'{"a":{"M":{"L":{}}}}', {"a": {"M": {"L": {"M": {}}}}}),
        (b'{"a":{"L":[{},{"M":{}},{"L":[{}]}]}}', {"a": {"L": [EMPTY, EMPTY, {"L": [EMPTY]}]}}),
        (b'{"a":{"M":{"b":{},"c":{"M":{}}}}}', {"a": {"M": {"b": EMPTY, "c": EMPTY}}}),
        (b'{"a":{"S":"{}"},"b":{"M":{}}}', {"a": {"S": "{}"}, "b": EMPTY}),
        (b'{"a": {"M": {}}, "b": {"M": {"c": {}}}}', {"a": EMPTY, "b": {"M": {"c": EMPTY}}}),
        (b'{"a":{"S":"\\ud83d"},"b":{}}', {"a": {"S": "\ud83d"}, "b": EMPTY}),
    ],
)
def test_an_empty_map_without_its_tag_is_an_empty_map(raw, image):
    assert decode_image(raw) == image


def test_nesting_that_no_item_has_is_rejected():
    raw = b'{"a":' + b'{"L":[' * 50_000 + b"]}" * 50_000 + b"}"

    with pytest.raises(ValueRejected, match="nested too deeply"):
        decode_image(raw)


@pytest.mark.parametrize("raw", [b"[]", b"{", b"\xff"])
def test_an_image_that_is_no_object_stops_the_table(raw):
    with pytest.raises(UnknownRecord):
        decode_image(raw)


def test_twenty_thousand_attributes_and_a_name_of_64_kilobytes_are_decoded():
    image = {f"a{number}": {"N": str(number)} for number in range(20_000)}
    image["n" * 65_535] = {"S": ""}

    assert decode_image(json.dumps(image).encode()) == image


@pytest.mark.parametrize("text", ["1", "1.0", "1e0", "+1", "01", "10E-1"])
def test_equal_numbers_are_one_key(text):
    assert number_key(text) == number_key("1") == ("1",)


def test_names_that_differ_in_case_or_normal_form_are_different_keys():
    key = SourceKey((("id", "S"),))

    keys = {item_key({"id": {"S": text}}, key) for text in ("é", "e\u0301", "É", "e")}

    assert len(keys) == 4


def test_a_key_of_several_attributes_keeps_their_order():
    keys = {"sk": {"B": "AAE="}, "pk": {"S": "a"}}

    assert item_key(keys, PAIR) == ("a", "AAE=")


@pytest.mark.parametrize("keys", [{}, {"id": {}}, {"id": {"S": "1"}}, {"id": {"N": "junk"}}])
def test_an_impossible_key_still_has_an_identity(keys):
    assert item_key(keys, NUMBER_KEY) == item_key(keys, NUMBER_KEY) != number_key("1")
    assert json.loads(item_key_json(keys, NUMBER_KEY)) == keys


def test_the_written_identity_is_sorted_canonical_ascii():
    keys = {"sk": {"N": "1.50"}, "pk": {"S": "é\0\ud83d"}}

    text = item_key_json(keys, SourceKey((("pk", "S"), ("sk", "N"))))

    assert text == '{"pk":{"S":"\\u00e9\\u0000\\ud83d"},"sk":{"N":"1.5"}}'


numbers = st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(
    lambda number: abs(number.adjusted()) < 130
)


@given(numbers, numbers)
def test_keys_are_equal_exactly_where_the_numbers_are(one, other):
    assert (number_key(str(one)) == number_key(str(other))) == (one == other)


@given(numbers, st.integers(0, 5))
def test_trailing_zeros_make_no_other_key(number, zeros):
    padded = f"{number:f}" + ("." if "." not in f"{number:f}" else "") + "0" * zeros

    assert number_key(padded) == number_key(str(number))


@pytest.mark.parametrize(
    ("tag", "members", "expected"),
    [
        ("SS", ["b", "a", "é", "Z", "\U0001f600", "\uffff"], ["Z", "a", "b", "é", "\uffff", "😀"]),
        ("NS", ["10", "9", "-1", "0.5", "1E+2"], ["-1", "0.5", "9", "10", "100"]),
        ("BS", ["/w==", "AA==", "AAE=", ""], ["", "AA==", "AAE=", "/w=="]),
    ],
)
def test_sets_sort_by_code_point_number_and_bytes(tag, members, expected):
    assert sorted_members(tag, members) == expected
    assert sorted_members(tag, members[::-1]) == expected


@given(st.lists(numbers, unique=True))
def test_numbers_of_a_set_sort_by_value(members):
    texts = sorted_members("NS", [str(member) for member in members])

    assert [Decimal(text) for text in texts] == sorted(members)


def test_nul_is_refused_stripped_or_replaced():
    assert storable_text("a\0b", "strip") == "ab"
    assert storable_text("a\0b", "replace") == "a\ufffdb"
    with pytest.raises(Unfit, match="NUL"):
        storable_text("a\0b")


@pytest.mark.parametrize("nul", ["reject", "strip", "replace"])
def test_a_lone_surrogate_is_refused_under_every_policy(nul):
    with pytest.raises(Unfit, match="surrogate"):
        storable_text("a\ud83d", nul)
