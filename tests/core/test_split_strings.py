"""Composite strings: split as declared, and two of them never become one key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.core.mapping.compile_mapping import compile_table
from replicator.core.mapping.split_strings import parse_pattern
from replicator.core.table_spec import (
    KeyColumnSpec,
    SourceKey,
    TableSpec,
    TargetSpec,
)
from replicator.core.values.cells import Unfit
from replicator.errors import ConfigurationError, ValueRejected
from tests.support.specs import column_spec, key_column_spec

SOURCE = SourceKey((("pk", "S"), ("sk", "S")))
PATTERN = "ORDER#{year}#{number}"


@pytest.mark.parametrize(
    ("pattern", "text", "parts"),
    [
        (PATTERN, "ORDER#2024#17", {"year": "2024", "number": "17"}),
        (PATTERN, "ORDER#2024#17#9", {"year": "2024", "number": "17#9"}),
        ("{a}-{b}!", "x-y!", {"a": "x", "b": "y"}),
        ("{a}-{b}!", "x-y!!", {"a": "x", "b": "y!"}),
        ("{a}", "anything", {"a": "anything"}),
    ],
)
def test_a_text_is_split_and_put_together_again(pattern, text, parts):
    found = parse_pattern(pattern)
    assert found.split(text) == parts
    assert found.join(parts) == text


@pytest.mark.parametrize(
    "text", ["", "ORDER#", "ORDER#2024", "ORDER##17", "ORDER#2024#", "order#2024#17", "xORDER#1#2"]
)
def test_a_text_that_does_not_follow_is_refused(text):
    with pytest.raises(Unfit, match="does not follow the pattern"):
        parse_pattern(PATTERN).split(text)


@given(st.text(alphabet="ab#-"), st.text(alphabet="ab#-"))
def test_no_two_texts_have_the_same_parts(one, other):
    def parts(text):
        try:
            return parse_pattern("{x}#{y}-{z}").split(text)
        except Unfit:
            return None

    if one != other and parts(one) is not None:
        assert parts(one) != parts(other)


@pytest.mark.parametrize("text", ["", "ORDER", "{a}{b}", "{a}#{a}", "{a", "a}", "{1x}", "{}"])
def test_a_pattern_that_says_no_parts_is_refused(text):
    with pytest.raises(ConfigurationError, match="the pattern"):
        parse_pattern(text)


def compiled(*key: KeyColumnSpec, split=(("sk", PATTERN),), columns=()):
    target = TargetSpec("public.t", key=key, columns=tuple(columns), split=split)
    return compile_table(TableSpec("t", "t", (target,)), SOURCE).targets[0]


WHOLE = key_column_spec("pk", "pk")
YEAR = key_column_spec("year", "year", "integer", part="year")
NUMBER = key_column_spec("number", "number", "bigint", part="number")
KIND = key_column_spec("kind", "kind", part="kind")
TWICE = (("sk", "{kind}#"), ('"sk"', PATTERN))


def test_the_way_back_from_a_row_finds_the_item():
    target = compiled(WHOLE, YEAR, NUMBER)
    keys = {"pk": {"S": "a"}, "sk": {"S": "ORDER#2024#17"}}

    assert target.key_of(keys) == ("a", "2024", "17")
    assert target.item_keys(target.key_of(keys)) == keys


@pytest.mark.parametrize("number", ["017", "+17", "1e1", "17.0", "many"])
def test_a_number_that_is_written_in_another_way_is_no_key(number):
    keys = {"pk": {"S": "a"}, "sk": {"S": f"ORDER#2024#{number}"}}
    with pytest.raises(ValueRejected, match="attribute 'sk', column 'number'"):
        compiled(WHOLE, YEAR, NUMBER).key_of(keys)


def test_the_same_parts_beside_the_whole_are_fine():
    whole = key_column_spec("sk", "sk")
    assert compiled(WHOLE, whole, YEAR).table.key == ("pk", "sk", "year")


@pytest.mark.parametrize(
    ("key", "split", "fault"),
    [
        ((WHOLE, YEAR), (("sk", PATTERN),), "leaves out 'number', a part of sk"),
        ((WHOLE,), (("sk", PATTERN),), "leaves out sk"),
        ((WHOLE, YEAR, NUMBER), (), "takes the part 'year', which no pattern"),
        ((WHOLE, YEAR, NUMBER), (("other", PATTERN),), "not a string of the item's key"),
        (
            (WHOLE, YEAR, key_column_spec("number", "", "jsonb", part="number")),
            (("sk", PATTERN),),
            "could become one",
        ),
        ((WHOLE, YEAR, NUMBER), (("sk", PATTERN), ("x", "{year}")), "have a part 'year'"),
        ((WHOLE, YEAR, NUMBER, KIND), TWICE, "two patterns of `split` cut 'sk'"),
        ((WHOLE, YEAR, NUMBER), TWICE, "two patterns of `split` cut 'sk'"),
        ((WHOLE, KIND, YEAR, key_column_spec("sk", "sk")), TWICE, "two patterns of `split` cut"),
    ],
)
def test_a_key_that_could_join_two_items_is_refused(key, split, fault):
    with pytest.raises(ConfigurationError, match=fault):
        compiled(*key, split=split)


def test_a_part_of_another_attribute_is_a_column_that_may_be_null():
    strict = column_spec("year", "year", "integer", part="year")
    lenient = column_spec("number", "number", "integer", part="number", on_invalid="null")
    target = compiled(
        WHOLE, key_column_spec("sk", "sk"), split=(("ref", PATTERN),), columns=(strict, lenient)
    )
    keys = {"pk": {"S": "a"}, "sk": {"S": "b"}}

    assert target.row_of(keys, {"ref": {"S": "ORDER#2024#007"}}) == ("a", "b", "2024", "7")
    assert target.row_of(keys, {}) == ("a", "b", None, None)
    assert target.row_of(keys, {"ref": {"S": "ORDER#2024#x"}}) == ("a", "b", "2024", None)
    with pytest.raises(ValueRejected, match="column 'year': does not follow"):
        target.row_of(keys, {"ref": {"S": "no"}})


@pytest.mark.parametrize("untyped", [5, True, "NULL", ["NULL"], [{"S": "ORDER#1#2"}]])
def test_what_a_pattern_cannot_split_as_it_has_no_type_is_rejected(untyped):
    strict = column_spec("year", "year", "integer", part="year")
    target = compiled(
        WHOLE, key_column_spec("sk", "sk"), split=(("v.ref", PATTERN),), columns=(strict,)
    )

    with pytest.raises(ValueRejected, match=r"'v\.ref', column 'year': is not a string"):
        target.row_of({"pk": {"S": "a"}, "sk": {"S": "b"}}, {"v": {"M": {"ref": untyped}}})


def test_an_empty_map_or_list_stands_in_for_what_is_absent_or_null():
    columns = (
        column_spec("meta", "meta", "jsonb", empty="{}"),
        column_spec("seen", "seen", "jsonb", empty="[]"),
        column_spec("tags", "tags", "text[]", empty="[]"),
    )
    target = compiled(WHOLE, key_column_spec("sk", "sk"), columns=columns)
    keys = {"pk": {"S": "a"}, "sk": {"S": "b"}}

    assert target.row_of(keys, {"meta": {"NULL": True}}) == ("a", "b", "{}", "[]", "{}")
    said = {"meta": {"M": {"x": {"N": "1"}}}, "seen": {"L": []}, "tags": {"SS": ["t"]}}
    assert target.row_of(keys, said)[2:4] == ('{"x":1}', "[]")
    assert all(column.filled for column in target.table.columns[2:])


@pytest.mark.parametrize(
    "column",
    [
        column_spec("n", "n", "bigint", constant="many"),
        column_spec("n", "n", "bigint", default=1.5),
        column_spec("n", "n", "bigint", empty="[]"),
        column_spec("n", "n", "text[]", empty="{}"),
        column_spec("n", "n", "bigint", transform=("lower",)),
        column_spec("n", "n", "text", transform=("json",)),
        column_spec("n", "n", "boolean", transform=("number",)),
    ],
)
def test_a_column_whose_options_do_not_fit_its_type_is_refused(column):
    with pytest.raises(ConfigurationError, match="column 'n'"):
        compiled(WHOLE, key_column_spec("sk", "sk"), columns=(column,))
