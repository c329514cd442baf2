"""Values into columns: exact, or rejected by name."""

import re
import struct
from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.core.values.column_types import ROWS, parse_type
from replicator.core.values.converters import array_literal, compile_converter
from replicator.errors import ConfigurationError, ValueRejected

DIGITS_38 = "12345678901234567890123456789012345678"
SMALLEST = "0." + "0" * 129 + "1"


def converted(written, value, time_format=None, **options):
    convert = compile_converter(
        parse_type(written), attribute="a", column="c", time_format=time_format, **options
    )
    return convert(value)


SAMPLES = {"char": "char(3)"}
TYPES = [
    *(SAMPLES.get(name, name) for name in ROWS),
    *(f"{SAMPLES.get(name, name)}[]" for name in ROWS),
    *("varchar(3)", "numeric(5,2)", "timestamp(3)", "interval(0)"),
]


@pytest.mark.parametrize("written", TYPES)
def test_absent_and_null_attributes_are_sql_null(written):
    assert converted(written, None) is None
    assert converted(written, {"NULL": True}) is None


@pytest.mark.parametrize("written", TYPES)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "has no type tag"),
        ({"S": "1", "N": "1"}, "more than one type tag"),
        ({"X": "1"}, "unknown type tag"),
    ],
)
def test_what_has_no_single_known_type_is_rejected(written, value, reason):
    with pytest.raises(ValueRejected, match=f"attribute 'a', column 'c': .*{reason}"):
        converted(written, value)


@pytest.mark.parametrize(
    ("written", "value", "cell"),
    [
        ("text", {"S": ""}, ""),
        ("text", {"S": "é😀"}, "é😀"),
        ("text", {"S": "x" * 400_000}, "x" * 400_000),
        ("text", {"N": "1.50"}, "1.5"),
        ("text", {"N": "1E+2"}, "100"),
        ("text", {"BOOL": True}, "true"),
        ("varchar(3)", {"S": "é😀x"}, "é😀x"),
        ("varchar(3)", {"N": "123"}, "123"),
        ("varchar", {"S": "x" * 100}, "x" * 100),
        ("numeric", {"N": DIGITS_38}, DIGITS_38),
        ("numeric", {"N": "1E-130"}, SMALLEST),
        ("numeric", {"N": "9.99E125"}, "999" + "0" * 123),
        ("numeric", {"N": "-" + "9" * 60}, "-" + "9" * 60),
        ("numeric(5,2)", {"N": "-999.99"}, "-999.99"),
        ("numeric(5,2)", {"N": "1.5000"}, "1.5"),
        ("numeric(2,2)", {"N": "-0.99"}, "-0.99"),
        ("numeric(3)", {"N": "1E2"}, "100"),
        ("bigint", {"N": "9223372036854775807"}, "9223372036854775807"),
        ("bigint", {"N": "-9223372036854775808"}, "-9223372036854775808"),
        ("bigint", {"N": "1.0"}, "1"),
        ("bigint", {"N": "1E2"}, "100"),
        ("integer", {"N": "-2147483648"}, "-2147483648"),
        ("smallint", {"N": "32767"}, "32767"),
        ("double precision", {"N": "0.1"}, "0.1"),
        ("double precision", {"N": "9007199254740992"}, "9007199254740992"),
        ("double precision", {"N": "1E+22"}, "1" + "0" * 22),
        ("double precision", {"N": "-0"}, "0"),
        ("boolean", {"BOOL": False}, "false"),
        ("bytea", {"B": "AAE="}, b"\0\x01"),
        ("bytea", {"B": ""}, b""),
        ("jsonb", {"S": '{"a":1}'}, '"{\\"a\\":1}"'),
        ("jsonb", {"N": DIGITS_38}, DIGITS_38),
        ("jsonb", {"M": {"a": {"NULL": True}}}, '{"a":null}'),
        (
            "uuid",
            {"S": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"},
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        ("char(3)", {"S": "ab"}, "ab"),
        ("json", {"M": {"a": {"N": "1E2"}}}, '{"a":100}'),
        ("real", {"N": "0.1"}, "0.1"),
        ("real", {"N": "16777216"}, "16777216"),
        ("real", {"N": "-0.006929283495992422"}, "-0.006929283495992422"),
        ("real", {"N": "3.4028235E38"}, "34028235" + "0" * 31),
        ("time", {"S": "23:59:59.5"}, "23:59:59.5"),
        ("time", {"S": "08:30"}, "08:30"),
        ("time", {"S": "08:30:00.123456000"}, "08:30:00.123456"),
        ("time(2)", {"S": "08:30:00.1200"}, "08:30:00.1200"),
        ("timetz", {"S": "08:30:00Z"}, "08:30:00Z"),
        ("timetz", {"S": "08:30:00-15:59"}, "08:30:00-15:59"),
        ("timestamp(0)", {"S": "2024-02-29T00:00:00.000"}, "2024-02-29T00:00:00.000"),
        ("timestamptz(3)", {"S": "2024-02-29T00:00:00.123Z"}, "2024-02-29T00:00:00.123Z"),
        ("interval", {"S": "P1Y2M3W4DT5H6M7.089S"}, "P1Y2M25DT5H6M7.089S"),
        ("interval", {"S": "PT0S"}, "PT0S"),
        ("interval", {"S": "PT-0.5S"}, "PT-0.5S"),
        ("interval", {"S": "-P1DT-2H"}, "P-1DT2H"),
        ("interval", {"S": "PT36H"}, "PT36H"),
        ("interval", {"S": "P18M"}, "P1Y6M"),
        ("interval(1)", {"S": "PT90.50S"}, "PT1M30.5S"),
        ("inet", {"S": "10.0.0.7"}, "10.0.0.7"),
        ("inet", {"S": "10.0.0.7/8"}, "10.0.0.7/8"),
        ("inet", {"S": "2001:DB8::1/64"}, "2001:DB8::1/64"),
        ("cidr", {"S": "10.0.0.0/8"}, "10.0.0.0/8"),
        ("macaddr", {"S": "08-00-2B-01-02-03"}, "08-00-2B-01-02-03"),
        ("macaddr8", {"S": "08:00:2b:01:02:03:04:05"}, "08:00:2b:01:02:03:04:05"),
        ("varchar[]", {"SS": ["b", "a"]}, '{"a","b"}'),
        ("public.mood", {"S": "so so"}, "so so"),
        ("citext", {"S": "Ada"}, "Ada"),
        ("ltree", {"S": "top.b_1"}, "top.b_1"),
        ("hstore", {"M": {"b": {"S": 'x"'}, "a": {"NULL": True}}}, '"a"=>NULL,"b"=>"x\\""'),
        ("vector(2)", {"L": [{"N": "1.50"}, {"N": "0.1"}]}, "[1.5,0.1]"),
        ("halfvec", {"L": [{"N": "0.5"}]}, "[0.5]"),
        ("inet[]", {"L": [{"S": "::1"}]}, '{"::1"}'),
        ("text[]", {"SS": ["b", "a", "é"]}, '{"a","b","é"}'),
        ("text[]", {"SS": ['a"b']}, '{"a\\"b"}'),
        ("text[]", {"SS": ['a"b', "c\\d"]}, '{"a\\"b","c\\\\d"}'),
        ("text[]", {"NS": ["10", "9"]}, '{"9","10"}'),
        ("text[]", {"L": [{"S": "b"}, {"NULL": True}, {"S": "NULL"}]}, '{"b",NULL,"NULL"}'),
        ("text[]", {"L": []}, "{}"),
        ("text[]", {"L": [{"S": ""}]}, '{""}'),
        ("text[]", {"SS": [""]}, '{""}'),
        ("numeric[]", {"NS": ["10", "9.50", "1E+2"]}, '{"9.5","10","100"}'),
        ("numeric[]", {"L": [{"N": "2"}, {"N": "1"}]}, '{"2","1"}'),
        ("bigint[]", {"NS": ["2", "-1"]}, '{"-1","2"}'),
        ("bytea[]", {"BS": ["/w==", "AA=="]}, '{"\\\\x00","\\\\xff"}'),
        ("bytea[]", {"L": [{"B": ""}]}, '{"\\\\x"}'),
    ],
)
def test_a_value_that_fits_converts_exactly(written, value, cell):
    assert converted(written, value) == cell


@pytest.mark.parametrize(
    ("written", "value", "reason"),
    [
        ("text", {"M": {}}, "a map does not convert to text"),
        ("text", {"B": ""}, "binary does not convert to text"),
        ("text", {"S": "\ud83d"}, "lone surrogate"),
        ("text", {"S": "a\0"}, "NUL"),
        ("text", {"S": 5}, "not of the shape"),
        ("varchar(3)", {"S": "abc "}, "more than 3 characters"),
        ("varchar(3)", {"N": "1000"}, "more than 3 characters"),
        ("numeric", {"S": "1"}, "a string does not convert to numeric"),
        ("numeric", {"N": "NaN"}, "not a number"),
        ("numeric", {"N": "Infinity"}, "not a number"),
        ("numeric(12,2)", {"N": "1.005"}, "more than 2 fraction digits"),
        ("numeric(5,2)", {"N": "1000"}, "more than 3 digits before the point"),
        ("numeric(2,2)", {"N": "1"}, "more than 0 digits before the point"),
        ("bigint", {"N": "1.5"}, "not an integer"),
        ("bigint", {"N": "9223372036854775808"}, "range of bigint"),
        ("bigint", {"N": "9" * 5000}, "range of bigint"),
        ("integer", {"N": "2147483648"}, "range of integer"),
        ("smallint", {"N": "-32769"}, "range of smallint"),
        ("double precision", {"N": "9007199254740993"}, "more digits than double"),
        ("double precision", {"N": "1E+400"}, "more digits than double"),
        ("double precision", {"N": "0.12345678901234567890"}, "more digits than double"),
        ("boolean", {"S": "true"}, "a string does not convert to boolean"),
        ("boolean", {"N": "1"}, "a number does not convert"),
        ("boolean", {"BOOL": 1}, "not of the shape"),
        ("bytea", {"S": "x"}, "a string does not convert"),
        ("bytea", {"B": "A"}, "base64"),
        ("bytea", {"B": "é"}, "base64"),
        ("uuid", {"S": "a0eebc999c0b4ef8bb6d6bb9bd380a11"}, "not a UUID"),
        ("uuid", {"S": "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"}, "not a UUID"),
        ("char(3)", {"S": "abcd"}, "more than 3 characters"),
        ("public.mood", {"N": "1"}, r"a number does not convert to public\.mood"),
        ("citext", {"S": "a\0"}, "NUL"),
        ("ltree", {"S": "a..b"}, "not a path of labels"),
        ("ltree", {"S": "x" * 256}, "not a path of labels"),
        ("hstore", {"S": "a=>1"}, "a string does not convert to hstore"),
        ("vector(2)", {"L": [{"N": "1"}]}, "has 1 numbers, and the vector 2"),
        ("vector", {"L": []}, "has 0 numbers"),
        ("vector", {"NS": ["1"]}, "a set of numbers does not convert to vector"),
        ("char(3)", {"S": "ab "}, "ends in a space"),
        ("char(3)", {"S": "   "}, "ends in a space"),
        ("json", {"S": "a\0"}, "NUL"),
        ("real", {"N": "0.123456789"}, "more digits than real"),
        ("real", {"N": "16777217"}, "more digits than real"),
        ("real", {"N": "1E39"}, "more digits than real"),
        ("real", {"N": "1E-40"}, "more digits than real"),
        ("time", {"S": "24:00:00"}, "not an ISO 8601 time of day"),
        ("time", {"S": "08:30:00Z"}, "has a zone"),
        ("time", {"S": "08:30:00.1234567"}, "more than 6 fraction"),
        ("time(2)", {"S": "08:30:00.123"}, "more than 2 fraction"),
        ("time", {"S": "allballs"}, "not an ISO 8601 time of day"),
        ("timetz", {"S": "08:30:00"}, "has no zone"),
        ("timetz", {"S": "08:30:00+16:00"}, "not an ISO 8601 time of day"),
        ("timestamp(3)", {"S": "2024-02-29T00:00:00.1234"}, "more than 3 fraction"),
        ("timestamptz(0)", {"S": "2024-02-29T00:00:00.5Z"}, "more than 0 fraction"),
        ("interval", {"S": "1 day"}, "not an ISO 8601 duration"),
        ("interval", {"S": "P"}, "not an ISO 8601 duration"),
        ("interval", {"S": "PT"}, "not an ISO 8601 duration"),
        ("interval", {"S": "P1DT"}, "not an ISO 8601 duration"),
        ("interval", {"S": "P0.5D"}, "not an ISO 8601 duration"),
        ("interval", {"S": "PT0.1234567S"}, "more than 6 fraction"),
        ("interval(0)", {"S": "PT0.5S"}, "more than 0 fraction"),
        ("interval", {"S": "P200000000Y"}, "outside the range of interval"),
        ("interval", {"S": "P2147483648D"}, "outside the range of interval"),
        ("interval", {"S": "PT9999999999H"}, "outside the range of interval"),
        ("inet", {"S": "10.0.0"}, "not an address"),
        ("inet", {"S": "10.0.0.07"}, "not an address"),
        ("inet", {"S": "10.0.0.7/33"}, "not an address"),
        ("inet", {"S": "10.0.0.7/255.0.0.0"}, "not an address"),
        ("inet", {"S": "fe80::1%eth0"}, "not an address"),
        ("cidr", {"S": "10.0.0.1/8"}, "zeros beyond its prefix"),
        ("macaddr", {"S": "08002b010203"}, "six pairs"),
        ("macaddr", {"S": "08:00-2b:01:02:03"}, "six pairs"),
        ("macaddr8", {"S": "08:00:2b:01:02:03"}, "eight pairs"),
        ("text[]", {"S": "a"}, "a string does not convert to text"),
        ("text[]", {"BS": ["AA=="]}, "a set of binaries does not convert"),
        ("text[]", {"SS": "ab"}, "not of the shape"),
        ("numeric[]", {"SS": ["1"]}, "a set of strings does not convert"),
        ("bigint[]", {"NS": ["1.5"]}, "not an integer"),
        ("timestamptz", {"N": "1"}, "without a format"),
    ],
)
def test_a_value_that_does_not_fit_is_rejected(written, value, reason):
    with pytest.raises(ValueRejected, match=reason) as rejection:
        converted(written, value)

    assert (rejection.value.attribute, rejection.value.column) == ("a", "c")


def test_a_list_element_that_does_not_fit_is_named_by_its_position():
    with pytest.raises(ValueRejected, match=r"attribute 'a\[1\]', column 'c'"):
        converted("text[]", {"L": [{"S": "x"}, {"L": []}]})
    with pytest.raises(ValueRejected, match=r"attribute 'a\.b\[0\]', column 'c'"):
        converted("jsonb", {"M": {"b": {"L": [{"N": "x"}]}}})


@pytest.mark.parametrize(
    ("written", "value", "place", "reason"),
    [
        ("vector", {"L": [{"N": "1"}, {"S": "x"}]}, "a[1]", "is not a number"),
        ("vector", {"L": [{"N": "x"}]}, "a[0]", "is not a number"),
        ("vector", {"L": [{"N": "0.123456789"}]}, "a[0]", "more digits than an element of vector"),
        ("halfvec", {"L": [{"N": "0.1"}]}, "a[0]", "more digits than an element of halfvec"),
        ("hstore", {"M": {"k": {"N": "1"}}}, "a.k", "is not a string, and hstore holds strings"),
        ("hstore[]", {"L": [{"M": {"k": {"L": []}}}]}, "a[0].k", "is not a string"),
    ],
)
def test_a_member_that_does_not_fit_is_named_by_its_place(written, value, place, reason):
    with pytest.raises(ValueRejected, match=reason) as rejection:
        converted(written, value)

    assert rejection.value.attribute == place


@pytest.mark.parametrize("value", [{"S": "x"}, {}, {"N": "1.5"}, {"L": [{"S": "x"}]}])
def test_on_invalid_null_turns_what_does_not_fit_into_null(value):
    assert converted("bigint", value, on_invalid="null") is None
    assert converted("bigint[]", value, on_invalid="null") is None


def test_the_nul_policy_reaches_sets_lists_and_documents():
    assert converted("text", {"S": "a\0b"}, nul="strip") == "ab"
    assert converted("varchar(2)", {"S": "a\0b"}, nul="strip") == "ab"
    assert converted("text[]", {"SS": ["a\0b"]}, nul="replace") == '{"a\ufffdb"}'
    assert converted("text[]", {"L": [{"S": "\0"}]}, nul="strip") == '{""}'
    assert converted("jsonb", {"M": {"k": {"S": "a\0b"}}}, nul="strip") == '{"k":"ab"}'
    with pytest.raises(ValueRejected, match="NUL"):
        converted("text[]", {"SS": ["a\0"]})


def test_no_value_is_quoted_in_a_rejection():
    for written in TYPES:
        with pytest.raises(ValueRejected) as rejection:
            converted(written, {"N": "secret"})
        assert "secret" not in str(rejection.value)


def test_a_format_on_a_type_without_time_is_refused():
    with pytest.raises(ConfigurationError, match="'c' of type text has the format"):
        converted("text", None, "epoch_s")


def test_a_uuid_key_must_be_written_as_postgresql_prints_it():
    assert converted("uuid", {"S": "a" * 8 + "-aaaa-aaaa-aaaa-" + "a" * 12}, key=True)
    with pytest.raises(ValueRejected, match="capitals"):
        converted("uuid", {"S": "A" * 8 + "-aaaa-aaaa-aaaa-" + "a" * 12}, key=True)


@pytest.mark.parametrize(
    ("written", "time_format", "value", "cell"),
    [
        ("timestamptz", None, {"S": "2024-02-29T23:59:59Z"}, "2024-02-29T23:59:59Z"),
        ("timestamptz", "iso8601", {"S": "2024-02-29 23:59Z"}, "2024-02-29 23:59Z"),
        (
            "timestamptz",
            None,
            {"S": "2024-01-01T00:30:00.123456+02:00"},
            "2023-12-31T22:30:00.123456+00:00",
        ),
        ("timestamptz", None, {"S": "2024-01-01T00:00:00-0330"}, "2024-01-01T03:30:00+00:00"),
        ("timestamptz", None, {"S": "2024-01-01T00:00:00+23"}, "2023-12-31T01:00:00+00:00"),
        ("timestamptz", None, {"S": "0001-01-01T00:00:00Z"}, "0001-01-01T00:00:00Z"),
        ("timestamptz", None, {"S": "9999-12-31T23:59:59.999999Z"}, "9999-12-31T23:59:59.999999Z"),
        ("timestamptz", "epoch_s", {"N": "0"}, "1970-01-01T00:00:00+00:00"),
        ("timestamptz", "epoch_s", {"N": "-0.5"}, "1969-12-31T23:59:59.500000+00:00"),
        ("timestamptz", "epoch_s", {"N": "1.7E9"}, "2023-11-14T22:13:20+00:00"),
        ("timestamptz", "epoch_s", {"N": "1700000000.123456"}, "2023-11-14T22:13:20.123456+00:00"),
        ("timestamptz", "epoch_ms", {"N": "1700000000123"}, "2023-11-14T22:13:20.123000+00:00"),
        ("timestamptz", "epoch_ms", {"N": "1700000000123.456"}, "2023-11-14T22:13:20.123456+00:00"),
        ("timestamptz", "epoch_us", {"N": "1700000000123456"}, "2023-11-14T22:13:20.123456+00:00"),
        (
            "timestamptz",
            "epoch_us",
            {"N": "253402300799999999"},
            "9999-12-31T23:59:59.999999+00:00",
        ),
        ("timestamptz", "epoch_s", {"N": "-62135596800"}, "0001-01-01T00:00:00+00:00"),
        ("timestamp", None, {"S": "2024-02-29T23:59:59.5"}, "2024-02-29T23:59:59.5"),
        ("timestamp", "epoch_s", {"N": "1700000000"}, "2023-11-14T22:13:20"),
        ("date", None, {"S": "2024-02-29"}, "2024-02-29"),
        ("date", "epoch_s", {"N": "1699920000"}, "2023-11-14"),
        ("timestamptz[]", "epoch_s", {"NS": ["1", "0"]}, None),
        ("timestamptz", None, {"S": "2024-01-01T00:00:00.1234560Z"}, "2024-01-01T00:00:00.123456Z"),
        ("timestamp", None, {"S": "2024-01-01T00:00:00.500000000"}, "2024-01-01T00:00:00.500000"),
        (
            "timestamptz",
            None,
            {"S": "2024-01-01T00:30:00.123456000+02:00"},
            "2023-12-31T22:30:00.123456+00:00",
        ),
        (
            "timestamptz(3)",
            None,
            {"S": "2024-01-01T00:00:00.123000000Z"},
            "2024-01-01T00:00:00.123000Z",
        ),
        (
            "timestamptz",
            "epoch_ns",
            {"N": "1700000000123456000"},
            "2023-11-14T22:13:20.123456+00:00",
        ),
        ("timestamptz", "epoch_ns", {"N": "-1000"}, "1969-12-31T23:59:59.999999+00:00"),
        ("date", "epoch_days", {"N": "-1"}, "1969-12-31"),
        ("date", "epoch_days", {"N": "2932896"}, "9999-12-31"),
        ("timestamptz", "epoch_days", {"N": "1E1"}, "1970-01-11T00:00:00+00:00"),
    ],
)
def test_a_time_in_the_declared_format_converts_exactly(written, time_format, value, cell):
    if cell is None:
        cell = '{"1970-01-01T00:00:00+00:00","1970-01-01T00:00:01+00:00"}'

    assert converted(written, value, time_format) == cell


@pytest.mark.parametrize(
    ("written", "time_format", "value", "reason"),
    [
        ("timestamptz", None, {"S": "2024-01-01T00:00:00"}, "has no zone"),
        ("timestamp", None, {"S": "2024-01-01T00:00:00Z"}, "has a zone"),
        ("timestamp", None, {"S": "2024-01-01T00:00:00+02:00"}, "has a zone"),
        ("timestamptz", None, {"S": "2024-01-01T00:00:00.1234567Z"}, "more than 6 fraction"),
        ("timestamptz", None, {"S": "2024-01-01T00:00:00.123456001Z"}, "more than 6 fraction"),
        ("timestamptz", None, {"S": "2024-01-01T00:00:00.1234560000Z"}, "more than 6 fraction"),
        ("timestamptz", "epoch_ns", {"N": "1700000000123456789"}, "more precise"),
        ("timestamptz", "epoch_days", {"N": "0.5"}, "not a whole number of days"),
        ("timestamptz", "epoch_days", {"N": "1E38"}, "outside the years"),
        ("date", "epoch_days", {"N": "2932897"}, "outside the years"),
        ("timestamptz", None, {"S": "now"}, "not an ISO 8601 time"),
        ("timestamptz", None, {"S": "infinity"}, "not an ISO 8601 time"),
        ("timestamptz", None, {"S": "tomorrow"}, "not an ISO 8601 time"),
        ("timestamptz", None, {"S": "2024-01-01"}, "not an ISO 8601 time"),
        ("timestamptz", None, {"S": "2024-01-01T24:00:00Z"}, "not an ISO 8601 time"),
        ("timestamptz", None, {"S": "2024-01-01T23:59:60Z"}, "not an ISO 8601 time"),
        ("timestamptz", None, {"S": "20240101T000000Z"}, "not an ISO 8601 time"),
        ("timestamptz", None, {"S": "2024-01-01T00:00:00Z "}, "not an ISO 8601 time"),
        ("timestamptz", None, {"S": "2024-01-01T00:00:00Z\n"}, "not an ISO 8601 time"),
        ("timestamptz", None, {"S": "٢٠٢٤-01-01T00:00:00Z"}, "not an ISO 8601 time"),
        ("timestamptz", None, {"S": "2023-02-29T00:00:00Z"}, "not a time of the calendar"),
        ("timestamptz", None, {"S": "0000-01-01T00:00:00Z"}, "not a time of the calendar"),
        ("timestamptz", None, {"S": "0001-01-01T00:00:00+01:00"}, "outside the years"),
        ("timestamptz", None, {"S": "9999-12-31T23:59:59-01:00"}, "outside the years"),
        ("timestamptz", None, {"N": "0"}, "a number does not convert to timestamptz without"),
        ("timestamptz", "epoch_s", {"S": "2024-01-01T00:00:00Z"}, "a string does not convert"),
        ("timestamptz", "epoch_s", {"N": "0.1234567"}, "more precise than a microsecond"),
        ("timestamptz", "epoch_ms", {"N": "0.1234"}, "more precise than a microsecond"),
        ("timestamptz", "epoch_us", {"N": "0.1"}, "more precise than a microsecond"),
        ("timestamptz", "epoch_s", {"N": "253402300800"}, "outside the years"),
        ("timestamptz", "epoch_s", {"N": "-62135596800.000001"}, "outside the years"),
        ("timestamptz", "epoch_s", {"N": "9.99E125"}, "outside the years"),
        ("timestamptz", "epoch_s", {"N": "1700000000123"}, "outside the years"),
        ("timestamptz", "epoch_s", {"N": "x"}, "not a number"),
        ("timestamp", None, {"S": "2023-02-29T00:00:00"}, "not a time of the calendar"),
        ("date", None, {"S": "2023-02-29"}, "not a day of the calendar"),
        ("date", None, {"S": "2024-01-01T00:00:00Z"}, "not an ISO 8601 date"),
        ("date", "epoch_s", {"N": "1"}, "not midnight UTC"),
    ],
)
def test_a_time_in_any_other_form_is_rejected(written, time_format, value, reason):
    with pytest.raises(ValueRejected, match=reason):
        converted(written, value, time_format)


@pytest.mark.parametrize(
    ("written", "time_format", "value", "cell"),
    [
        ("timestamptz", None, {"S": "2024-01-01T00:00:00.1234569Z"}, "2024-01-01T00:00:00.123456Z"),
        (
            "timestamptz",
            None,
            {"S": "1969-12-31T23:59:59.999999999+00:00"},
            "1969-12-31T23:59:59.999999+00:00",
        ),
        ("timestamptz(3)", None, {"S": "2024-01-01T00:00:00.9996Z"}, "2024-01-01T00:00:00.999Z"),
        ("timestamptz(0)", None, {"S": "2024-01-01T00:00:00.9Z"}, "2024-01-01T00:00:00Z"),
        ("timestamp", "epoch_ns", {"N": "1700000000123456789"}, "2023-11-14T22:13:20.123456"),
        ("timestamp", "epoch_ns", {"N": "-1"}, "1969-12-31T23:59:59.999999"),
        ("timestamptz", "epoch_s", {"N": "1.1234567"}, "1970-01-01T00:00:01.123456+00:00"),
        ("timestamptz", "epoch_s", {"N": "-0.0000001"}, "1969-12-31T23:59:59.999999+00:00"),
        ("timestamptz(3)", "epoch_s", {"N": "-0.0001"}, "1969-12-31T23:59:59.999000+00:00"),
        ("timestamptz(0)", "epoch_ms", {"N": "1999"}, "1970-01-01T00:00:01+00:00"),
    ],
)
def test_what_is_finer_is_cut_towards_the_past_where_that_is_declared(
    written, time_format, value, cell
):
    assert converted(written, value, time_format, fraction="truncate") == cell
    with pytest.raises(ValueRejected):
        converted(written, value, time_format)


def test_more_digits_than_anybody_prints_are_no_time_even_where_cutting_is_declared():
    with pytest.raises(ValueRejected, match="more than 6 fraction"):
        converted("timestamptz", {"S": "2024-01-01T00:00:00.1234567891Z"}, fraction="truncate")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ({"S": "Y"}, "true"),
        ({"S": "N"}, "false"),
        ({"S": "1"}, "true"),
        ({"N": "0"}, "false"),
        ({"N": "1.0"}, "true"),
        ({"BOOL": False}, "false"),
        ({"NULL": True}, None),
    ],
)
def test_declared_words_and_numbers_are_booleans(value, cell):
    words = (("Y", True), ("N", False), ("1", True), ("0", False))

    assert converted("boolean", value, transform=("boolean",), words=words) == cell


@pytest.mark.parametrize("value", [{"S": "y"}, {"S": " Y"}, {"S": ""}, {"N": "2"}, {"N": "x"}])
def test_a_word_that_is_not_declared_is_no_boolean(value):
    words = (("Y", True), ("N", False), ("1", True), ("0", False))

    with pytest.raises(ValueRejected, match=r"words for true and false|not a number"):
        converted("boolean", value, transform=("boolean",), words=words)


def test_words_are_looked_up_after_the_transforms_before_them():
    words = (("t", True), ("f", False))
    transform = ("trim", "lower", "empty_null", "boolean")

    assert converted("boolean", {"S": " T"}, transform=transform, words=words) == "true"
    assert converted("boolean", {"S": " "}, transform=transform, words=words) is None


numbers = st.builds(
    lambda digits, exponent: Decimal(f"{digits}E{exponent}"),
    st.one_of(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(-10_000, 10_000)),
    st.one_of(st.integers(-130, 87), st.integers(-3, 3)),
)


@given(numbers)
def test_numeric_keeps_every_number(number):
    assert Decimal(converted("numeric", {"N": str(number)})) == number


@given(numbers, st.integers(1, 20), st.integers(0, 20))
def test_a_bounded_numeric_takes_exactly_what_is_a_multiple_of_its_unit_in_its_range(
    number, precision, scale
):
    scale = min(scale, precision)
    with localcontext(Context(prec=400)):
        units = number * 10**scale
        fits = units == int(units) and abs(units) < 10**precision

    cell = converted(f"numeric({precision},{scale})", {"N": str(number)}, on_invalid="null")

    assert (cell is not None) == fits
    assert cell is None or Decimal(cell) == number


@given(st.one_of(numbers, st.integers(-(2**64), 2**64).map(Decimal)))
def test_bigint_takes_exactly_the_integers_of_64_bits(number):
    fits = number == number.to_integral_value() and -(2**63) <= number < 2**63

    cell = converted("bigint", {"N": str(number)}, on_invalid="null")

    assert (cell is not None) == fits
    assert cell is None or int(cell) == number


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e125, max_value=1e125))
def test_double_precision_takes_the_shortest_text_of_every_double(number):
    assert float(converted("double precision", {"N": repr(number)})) == number


@given(st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_real_takes_every_single_as_its_shortest_text_and_as_its_double(number):
    shortest = next(
        text for digits in range(6, 10) if single(text := f"{number:.{digits}g}") == number
    )

    assert single(converted("real", {"N": shortest})) == number
    assert float(converted("real", {"N": repr(number)})) == number


@given(st.decimals(allow_nan=False, allow_infinity=False, places=7, min_value=-100, max_value=100))
def test_real_takes_nothing_that_it_would_print_differently(number):
    cell = converted("real", {"N": str(number)}, on_invalid="null")

    if cell is not None:
        printed = {f"{single(cell):.{digits}g}" for digits in range(6, 10)} | {repr(single(cell))}
        assert number in {Decimal(text) for text in printed}


def single(text):
    return struct.unpack("f", struct.pack("f", float(text)))[0]


@given(st.timedeltas())
def test_an_interval_keeps_days_and_microseconds_apart(duration):
    text = f"P{duration.days}DT{duration.seconds}.{duration.microseconds:06}S"

    cell = converted("interval", {"S": text})

    assert converted("interval", {"S": cell}) == cell
    days = re.search(r"P(-?\d+)D", cell)
    assert int(days[1] if days else 0) == duration.days
    parts = {name: re.search(rf"T.*?([0-9.]+){name}", cell) for name in "HMS"}
    hours, minutes, seconds = (Decimal(part[1]) if part else 0 for part in parts.values())
    of_day = 3600 * hours + 60 * minutes + seconds
    assert of_day * 1_000_000 == duration.seconds * 1_000_000 + duration.microseconds


@given(st.lists(st.one_of(st.none(), st.binary(), st.text())))
def test_an_array_literal_reads_back(cells):
    assert read_array(array_literal(cells)) == [
        f"\\x{cell.hex()}" if isinstance(cell, bytes) else cell for cell in cells
    ]


def read_array(literal):
    """A reader of array literals, written from PostgreSQL's manual."""
    assert (literal[0], literal[-1]) == ("{", "}")
    body = literal[1:-1]
    cells: list[str | None] = []
    while body:
        if body.startswith("NULL"):
            cells.append(None)
            body = body[4:]
        else:
            assert body[0] == '"'
            text, body = "", body[1:]
            while body[0] != '"':
                step = 2 if body[0] == "\\" else 1
                text, body = text + body[step - 1], body[step:]
            cells.append(text)
            body = body[1:]
        assert not body or body[0] == ","
        body = body[1:]
    return cells
