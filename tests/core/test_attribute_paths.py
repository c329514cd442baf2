"""Paths read, and walked into items."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.core.mapping.attribute_paths import compile_descent, parse_path
from replicator.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("total", ("total",)),
        ("customer.address.zip", ("customer", "address", "zip")),
        ('"a.b".c', ("a.b", "c")),
        ('a."b.c"', ("a", "b.c")),
        ('"say ""hi"""', ('say "hi"',)),
        ("lines[0].sku", ("lines", 0, "sku")),
        ("grid[1][20]", ("grid", 1, 20)),
        ('"odd[0]"', ("odd[0]",)),
        ("with space", ("with space",)),
        ("aws:rep:updatetime", ("aws:rep:updatetime",)),
        ("größe.名前", ("größe", "名前")),
    ],
)
def test_a_path_is_read(text, steps):
    assert parse_path(text) == steps


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "a.", ".a", "a..b", "a.[0]", "a[0]b"),
        *("[0]", "[0].a", "a[", "a[]", "a[-1]", "a[x]", "a]", "a[1234567]"),
        *('"a', '"a"b', 'a"b', '""'),
    ],
)
def test_a_path_that_cannot_be_read_is_refused_with_examples(text):
    with pytest.raises(ConfigurationError) as refusal:
        parse_path(text)

    assert "customer.name" in str(refusal.value.remedy)


@given(st.lists(st.text(min_size=1), min_size=1))
def test_any_name_can_be_written_in_quotes(names):
    text = ".".join('"' + name.replace('"', '""') + '"' for name in names)

    assert parse_path(text) == tuple(names)


ITEM = {
    "M": {
        "name": {"S": "Ann"},
        "lines": {"L": [{"M": {"sku": {"S": "x"}}}]},
        "n": {"N": "1"},
        "untagged": {},
    }
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("item", ITEM),
        ("item.name", {"S": "Ann"}),
        ("item.lines[0].sku", {"S": "x"}),
        ("item.absent", None),
        ("item.absent.deeper[0]", None),
        ("item.lines[1]", None),
        ("item.lines.name", None),
        ("item[0]", None),
        ("item.n.deeper", None),
        ("item.untagged.deeper", None),
    ],
)
def test_a_path_leads_to_a_value_or_to_nothing(path, value):
    assert compile_descent(parse_path(path))(ITEM) == value


@pytest.mark.parametrize(
    "broken", [{"X": 1}, {"S": "a", "N": "1"}, {"M": "x"}, {"M": {}, "S": "a"}, 5]
)
def test_a_value_without_a_type_is_handed_on_to_be_refused(broken):
    descend = compile_descent(parse_path("a.b.c"))

    assert descend({"M": {"b": broken}}) == broken


def test_nothing_is_found_in_nothing():
    assert compile_descent(parse_path("a.b"))(None) is None
