"""Cells cast by PostgreSQL to their types and read back: the same value, exactly."""

import asyncio

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.core.stream_record import AttributeValue
from replicator.core.values.column_options import TimeFormat
from replicator.core.values.column_types import ROWS, parse_type
from replicator.core.values.converters import array_literal, compile_converter
from replicator.core.values.json_text import json_text
from tests.support.wide import examples

DIGITS_38 = "12345678901234567890123456789012345678"
DOCUMENT = f'{{"a": null, "b": {DIGITS_38}}}'
UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
ODD_TEXTS = '{"","NULL","a\\"\\\\",b,"{x}","é, 😀"}'
DOCUMENTS = '{"{\\"a\\": \\"\\\\\\"\\\\\\\\\\"}"}'
CASES: list[tuple[str, TimeFormat | None, AttributeValue, str]] = [
    ("text", None, {"S": 'a"\\\n\té😀\x01'}, 'a"\\\n\té😀\x01'),
    ("text", None, {"S": ""}, ""),
    ("text", None, {"N": "1E-3"}, "0.001"),
    ("varchar(3)", None, {"S": "é😀 "}, "é😀 "),
    ("numeric", None, {"N": DIGITS_38}, DIGITS_38),
    ("numeric", None, {"N": "1E-130"}, "0." + "0" * 129 + "1"),
    ("numeric", None, {"N": "-9.99E125"}, "-999" + "0" * 123),
    ("numeric(12,2)", None, {"N": "-9999999999.99"}, "-9999999999.99"),
    ("numeric(2,2)", None, {"N": "0.99"}, "0.99"),
    ("bigint", None, {"N": "-9223372036854775808"}, "-9223372036854775808"),
    ("integer", None, {"N": "2147483647"}, "2147483647"),
    ("smallint", None, {"N": "-32768"}, "-32768"),
    ("double precision", None, {"N": "0.1"}, "0.1"),
    ("double precision", None, {"N": "1E-130"}, "1e-130"),
    ("boolean", None, {"BOOL": True}, "true"),
    ("bytea", None, {"B": "AAH/"}, "\\x0001ff"),
    ("bytea", None, {"B": ""}, "\\x"),
    ("jsonb", None, {"N": "1E-130"}, "0." + "0" * 129 + "1"),
    ("jsonb", None, {"M": {"b": {"N": DIGITS_38}, "a": {"NULL": True}}}, DOCUMENT),
    ("jsonb", None, {"S": "\\u0000"}, '"\\\\u0000"'),
    ("uuid", None, {"S": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"}, UUID),
    ("date", None, {"S": "0001-01-01"}, "0001-01-01"),
    ("date", None, {"S": "9999-12-31"}, "9999-12-31"),
    ("date", "epoch_s", {"N": "-62135596800"}, "0001-01-01"),
    ("timestamp", None, {"S": "0099-01-01T00:00"}, "0099-01-01 00:00:00"),
    ("timestamp", None, {"S": "2024-02-29 23:59:59.1"}, "2024-02-29 23:59:59.1"),
    ("timestamp", "epoch_us", {"N": "-1"}, "1969-12-31 23:59:59.999999"),
    ("timestamptz", None, {"S": "0001-01-01T00:00:00Z"}, "0001-01-01 00:00:00+00"),
    ("timestamptz", None, {"S": "9999-12-31T23:59:59.999999Z"}, "9999-12-31 23:59:59.999999+00"),
    ("timestamptz", None, {"S": "2024-01-01T00:00Z"}, "2024-01-01 00:00:00+00"),
    ("timestamptz", None, {"S": "2024-01-01 00:00:00+23"}, "2023-12-31 01:00:00+00"),
    ("timestamptz", None, {"S": "2024-01-01T00:00:00-03:30"}, "2024-01-01 03:30:00+00"),
    ("timestamptz", "epoch_s", {"N": "-62135596800"}, "0001-01-01 00:00:00+00"),
    ("timestamptz", "epoch_ms", {"N": "1700000000123.456"}, "2023-11-14 22:13:20.123456+00"),
    ("timestamptz", "epoch_us", {"N": "253402300799999999"}, "9999-12-31 23:59:59.999999+00"),
    ("text[]", None, {"SS": ["b", 'a"\\', "", "NULL", "{x}", "é, 😀"]}, ODD_TEXTS),
    ("text[]", None, {"L": [{"NULL": True}, {"S": "null"}]}, '{NULL,"null"}'),
    ("text[]", None, {"L": []}, "{}"),
    ("numeric[]", None, {"NS": ["10", "9", "1E-3"]}, "{0.001,9,10}"),
    ("bigint[]", None, {"NS": ["9223372036854775807", "-1"]}, "{-1,9223372036854775807}"),
    ("bytea[]", None, {"BS": ["/w==", "AA=="]}, '{"\\\\x00","\\\\xff"}'),
    ("bytea[]", None, {"L": [{"B": ""}, {"NULL": True}]}, '{"\\\\x",NULL}'),
    ("boolean[]", None, {"L": [{"BOOL": True}]}, "{t}"),
    ("jsonb[]", None, {"L": [{"M": {"a": {"S": '"\\'}}}]}, DOCUMENTS),
    ("json", None, {"M": {"b": {"N": "1E2"}, "a": {"S": "é"}}}, '{"b":100,"a":"é"}'),
    ("json[]", None, {"L": [{"M": {"a": {"N": "1"}}}]}, '{"{\\"a\\":1}"}'),
    ("char(3)", None, {"S": "ab"}, "ab"),
    ("char(3)[]", None, {"SS": ["ab", "c"]}, '{"ab ","c  "}'),
    ("varchar(3)[]", None, {"SS": ["abc", "é"]}, "{abc,é}"),
    ("real", None, {"N": "0.1"}, "0.1"),
    ("real", None, {"N": "16777216"}, "1.6777216e+07"),
    ("real", None, {"N": "-0.006929283495992422"}, "-0.0069292835"),
    ("real[]", None, {"NS": ["1.5", "2"]}, "{1.5,2}"),
    ("double precision[]", None, {"NS": ["0.1"]}, "{0.1}"),
    ("integer[]", None, {"NS": ["2", "-1"]}, "{-1,2}"),
    ("smallint[]", None, {"NS": ["2"]}, "{2}"),
    ("uuid[]", None, {"SS": [UUID]}, f"{{{UUID}}}"),
    ("timestamp(3)", None, {"S": "2024-02-29T23:59:59.123"}, "2024-02-29 23:59:59.123"),
    ("timestamp(3)", "epoch_ms", {"N": "1700000000123"}, "2023-11-14 22:13:20.123"),
    ("timestamptz(0)", None, {"S": "2024-02-29T23:59:59.0Z"}, "2024-02-29 23:59:59+00"),
    ("timestamp[]", None, {"SS": ["2024-02-29T23:59:59"]}, '{"2024-02-29 23:59:59"}'),
    ("timestamptz[]", None, {"SS": ["2024-02-29T23:59:59Z"]}, '{"2024-02-29 23:59:59+00"}'),
    ("date[]", None, {"SS": ["2024-02-29"]}, "{2024-02-29}"),
    ("time", None, {"S": "23:59:59.999999"}, "23:59:59.999999"),
    ("time(2)", None, {"S": "08:30:00.12"}, "08:30:00.12"),
    ("time[]", None, {"SS": ["08:30"]}, "{08:30:00}"),
    ("timetz", None, {"S": "08:30:00.5Z"}, "08:30:00.5+00"),
    ("timetz", None, {"S": "08:30:00-15:59"}, "08:30:00-15:59"),
    ("timetz", None, {"S": "08:30+0530"}, "08:30:00+05:30"),
    ("timetz[]", None, {"SS": ["08:30:00+02"]}, "{08:30:00+02}"),
    ("interval", None, {"S": "P1Y2M3W4DT5H6M7.089S"}, "1 year 2 mons 25 days 05:06:07.089"),
    ("interval", None, {"S": "P-1Y"}, "-1 years"),
    ("timestamptz", None, {"S": "2024-01-01T00:00:00.123456000Z"}, "2024-01-01 00:00:00.123456+00"),
    ("timestamp", "epoch_ns", {"N": "-1000"}, "1969-12-31 23:59:59.999999"),
    ("date", "epoch_days", {"N": "19000"}, "2022-01-08"),
    ("interval", None, {"S": "-P1DT-2H"}, "-1 days +02:00:00"),
    ("interval", None, {"S": "P1MT-0.000001S"}, "1 mon -00:00:00.000001"),
    ("interval", None, {"S": "PT2147483647H59M59.999999S"}, "2147483647:59:59.999999"),
    ("interval", None, {"S": "P-178956970Y-7M"}, "-178956970 years -7 mons"),
    ("interval", None, {"S": "P2147483647D"}, "2147483647 days"),
    ("interval", None, {"S": "PT0S"}, "00:00:00"),
    ("interval(1)", None, {"S": "PT90.5S"}, "00:01:30.5"),
    ("interval[]", None, {"SS": ["P1D", "PT-1H"]}, '{"1 day",-01:00:00}'),
    ("inet", None, {"S": "10.0.0.7/8"}, "10.0.0.7/8"),
    ("inet", None, {"S": "2001:DB8::1"}, "2001:db8::1/128"),
    ("inet", None, {"S": "::ffff:1.2.3.4"}, "::ffff:1.2.3.4/128"),
    ("inet[]", None, {"SS": ["::1"]}, "{::1}"),
    ("cidr", None, {"S": "10.0.0.0/8"}, "10.0.0.0/8"),
    ("cidr", None, {"S": "2001:db8::/32"}, "2001:db8::/32"),
    ("cidr[]", None, {"SS": ["10.0.0.1"]}, "{10.0.0.1/32}"),
    ("macaddr", None, {"S": "08-00-2B-01-02-03"}, "08:00:2b:01:02:03"),
    ("macaddr[]", None, {"SS": ["08:00:2b:01:02:03"]}, "{08:00:2b:01:02:03}"),
    ("macaddr8", None, {"S": "08:00:2b:01:02:03:04:05"}, "08:00:2b:01:02:03:04:05"),
    ("macaddr8[]", None, {"SS": ["08:00:2b:01:02:03:04:05"]}, "{08:00:2b:01:02:03:04:05}"),
]


@pytest.fixture
async def connection(database):
    connected = await asyncpg.connect(database, server_settings={"timezone": "Asia/Kolkata"})
    await connected.execute("set datestyle = 'SQL, DMY'; set intervalstyle = sql_standard")
    yield connected
    await connected.close()


async def through(connection, column_type, cell):
    """What PostgreSQL makes of the cell, as text in a usual session."""
    statement = (
        f"select v.cell::{column_type.sql} as value "
        f"from unnest($1::{column_type.transport}[]) as v(cell)"
    )
    await connection.execute(f"create temporary table seen (value {column_type.sql})")
    await connection.execute(f"insert into seen {statement}", [cell])
    await connection.execute("set datestyle = 'ISO'; set timezone = 'UTC'; reset intervalstyle")
    text = await connection.fetchval("select value::text from seen")
    await connection.execute(
        "drop table seen; set datestyle = 'SQL, DMY'; reset timezone;"
        " set intervalstyle = sql_standard"
    )
    return text


async def test_every_type_reads_back_exactly_whatever_the_session_is_set_to(connection):
    for written, time_format, value, expected in CASES:
        column_type = parse_type(written)
        convert = compile_converter(column_type, attribute="a", column="c", time_format=time_format)

        text = await through(connection, column_type, convert(value))

        assert text == expected, written


def test_every_type_of_postgresql_s_own_and_its_arrays_are_tried():
    tried = {(parsed.name, parsed.array) for parsed in (parse_type(case[0]) for case in CASES)}

    own = [name for name, row in ROWS.items() if row.extension is None]
    assert {(name, array) for name in own for array in (False, True)} == tried


storable = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
usual = settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def sync_fetch(database):
    """Fetch a value from a synchronous test: Hypothesis and an event loop do not share one."""
    with asyncio.Runner() as runner:
        connected = runner.run(asyncpg.connect(database))
        yield lambda statement, *values: runner.run(connected.fetchval(statement, *values))
        runner.run(connected.close())


@usual
@given(cells=st.lists(st.one_of(st.none(), storable)))
def test_any_texts_pass_through_an_array_literal(sync_fetch, cells):
    assert sync_fetch("select $1::text::text[]", array_literal(cells)) == cells


@usual
@given(cells=st.lists(st.one_of(st.none(), st.binary())))
def test_any_bytes_pass_through_an_array_literal(sync_fetch, cells):
    assert sync_fetch("select $1::text::bytea[]", array_literal(cells)) == cells


@usual
@given(text=storable)
def test_any_text_passes_through_jsonb(sync_fetch, text):
    assert sync_fetch("select $1::text::jsonb #>> '{}'", json_text({"S": text})) == text
