"""Conditions of `when`."""

from datetime import date

import pytest

from replicator.core.mapping.routing import compile_condition
from replicator.core.stream_record import Image
from replicator.errors import ConfigurationError

KEYS: Image = {"pk": {"S": "CUSTOMER#1"}, "sk": {"S": "ORDER#17"}}
IMAGE: Image = {
    **KEYS,
    "kind": {"S": "order"},
    "total": {"N": "10.50"},
    "large": {"N": "12345678901234567890123456789012345678"},
    "tenth": {"N": "0.1"},
    "paid": {"BOOL": True},
    "gone": {"NULL": True},
    "digits": {"S": "10.5"},
    "customer": {"M": {"tier": {"S": "gold"}, "any": {"S": "x"}}},
    "lines": {"L": [{"M": {"sku": {"S": "A1"}}}]},
    "broken": {},
}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (None, True),
        ({"sk": {"begins_with": "ORDER#"}}, True),
        ({"sk": {"begins_with": "LINE#"}}, False),
        ({"total": {"begins_with": ""}}, False),
        ({"absent": {"begins_with": ""}}, False),
        ({"kind": "order"}, True),
        ({"kind": {"equals": "order"}}, True),
        ({"kind": "Order"}, False),
        ({"absent": "order"}, False),
        ({"total": 10.5}, True),
        ({"total": {"equals": 10.50}}, True),
        ({"total": 10}, False),
        ({"tenth": 0.1}, True),
        ({"tenth": {"lte": 0.1}}, True),
        ({"total": "10.5"}, False),
        ({"digits": "10.5"}, True),
        ({"digits": 10.5}, False),
        ({"large": 12345678901234567890123456789012345678}, True),
        ({"large": 12345678901234567890123456789012345679}, False),
        ({"paid": True}, True),
        ({"paid": False}, False),
        ({"paid": 1}, False),
        ({"gone": None}, True),
        ({"kind": None}, False),
        ({"absent": None}, False),
        ({"kind": {"in": ["invoice", "order"]}}, True),
        ({"kind": {"in": ["invoice", 5]}}, False),
        ({"gone": {"exists": True}}, True),
        ({"absent": {"exists": True}}, False),
        ({"absent": {"exists": False}}, True),
        ({"kind": {"not": "order"}}, False),
        ({"kind": {"not": {"begins_with": "inv"}}}, True),
        ({"absent": {"not": "order"}}, True),
        ({"total": {"gt": 10.5}}, False),
        ({"total": {"gte": 10.5}}, True),
        ({"total": {"lt": 11, "gt": 10}}, True),
        ({"total": {"lte": 10.49}}, False),
        ({"large": {"gt": 12345678901234567890123456789012345677}}, True),
        ({"digits": {"gt": 1}}, False),
        ({"absent": {"lt": 1}}, False),
        ({"kind": "order", "paid": True}, True),
        ({"kind": "order", "paid": False}, False),
        ({"any": [{"kind": "invoice"}, {"paid": True}]}, True),
        ({"any": [{"kind": "invoice"}, {"paid": False}]}, False),
        ({"all": [{"kind": "order"}, {"any": [{"paid": False}, {"total": 10.5}]}]}, True),
        ({"kind": "invoice", "any": [{"paid": True}]}, False),
        ({"customer.tier": "gold"}, True),
        ({"customer.any": "x"}, True),
        ({'"any"': "x"}, False),
        ({"lines[0].sku": {"begins_with": "A"}}, True),
        ({"broken": "order"}, False),
        ({"broken": 1}, False),
        ({"broken": {"gt": 1}}, False),
    ],
)
def test_a_condition_decides(when, expected):
    assert compile_condition(when, ["pk", "sk"]).matches(KEYS, IMAGE) is expected


@pytest.mark.parametrize(
    ("when", "on_keys_only"),
    [
        (None, True),
        ({"sk": {"begins_with": "ORDER#"}}, True),
        ({"any": [{"pk": "a"}, {"sk": {"not": "b"}}]}, True),
        ({"kind": "order"}, False),
        ({"pk": "a", "any": [{"sk": "b"}, {"kind": "order"}]}, False),
    ],
)
def test_a_condition_knows_whether_the_key_decides(when, on_keys_only):
    condition = compile_condition(when, ["pk", "sk"])

    assert condition.on_keys_only is on_keys_only
    if on_keys_only:
        assert condition.matches(KEYS, None) == condition.matches(KEYS, IMAGE)


@pytest.mark.parametrize(
    ("when", "message", "remedy"),
    [
        ({"sk": {"beginswith": "x"}}, "unknown operator 'beginswith'", "did you mean begins_with?"),
        ({"sk": {"regex": "x"}}, "unknown operator 'regex'", "use one of equals, in"),
        ({"sk": {"begins_with": 5}}, "operand that does not fit: 5", "begins_with takes a string"),
        ({"sk": {"in": []}}, "does not fit", "in takes a list"),
        ({"sk": {"in": "abc"}}, "does not fit", "in takes a list"),
        ({"sk": {"exists": "yes"}}, "does not fit", "exists takes true or false"),
        ({"sk": {"gt": "10"}}, "does not fit", "gt takes a number"),
        ({"sk": {"gt": True}}, "does not fit", "gt takes a number"),
        ({"sk": {"lt": float("nan")}}, "does not fit", "lt takes a number"),
        ({"sk": date(2024, 1, 1)}, "compares with", "dates in quotes"),
        ({"sk": ["a"]}, "compares with", "use a string"),
        ({"sk": {}}, "is empty", "use equals"),
        ({}, "a condition is needed", "begins_with"),
        ("sk", "a condition is needed", "begins_with"),
        ({"any": {"sk": "a"}}, "needs a list", "any: ["),
        ({"any": []}, "needs a list", "any: ["),
        ({"any": ["sk"]}, "a condition is needed", "begins_with"),
        ({"a..b": 1}, "cannot be read", "customer.name"),
    ],
)
def test_a_condition_that_cannot_be_read_is_refused(when, message, remedy):
    with pytest.raises(ConfigurationError, match=message) as refusal:
        compile_condition(when, ["pk", "sk"])

    assert remedy in str(refusal.value.remedy)


def test_none_holds_when_none_of_its_conditions_does():
    condition = compile_condition({"none": [{"sk": "PROFILE"}, {"status": "open"}]}, ["pk", "sk"])

    assert condition.matches({"sk": {"S": "ORDER#1"}}, {"status": {"S": "closed"}})
    assert not condition.matches({"sk": {"S": "PROFILE"}}, {})
    assert not condition.matches({"sk": {"S": "ORDER#1"}}, {"status": {"S": "open"}})
