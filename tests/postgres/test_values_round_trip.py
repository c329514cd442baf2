"""Cells cast by PostgreSQL to their types and read back: the same value, exactly."""

import asyncio

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.core.records import AttributeValue
from replicator.core.values.column_types import parse_type
from replicator.core.values.converters import array_literal, compile_converter
from replicator.core.values.json_text import json_text
from replicator.core.values.policies import TimeFormat

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
]


@pytest.fixture
async def connection(database):
    connected = await asyncpg.connect(database, server_settings={"timezone": "Asia/Kolkata"})
    await connected.execute("set datestyle = 'SQL, DMY'")
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
    await connection.execute("set datestyle = 'ISO'; set timezone = 'UTC'")
    text = await connection.fetchval("select value::text from seen")
    await connection.execute("drop table seen; set datestyle = 'SQL, DMY'; reset timezone")
    return text


async def test_every_type_reads_back_exactly_whatever_the_session_is_set_to(connection):
    for written, time_format, value, expected in CASES:
        column_type = parse_type(written)
        convert = compile_converter(column_type, attribute="a", column="c", time_format=time_format)

        text = await through(connection, column_type, convert(value))

        assert text == expected, written


storable = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
usual = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
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
