"""Types as people write them, and as PostgreSQL prints them."""

import pytest

from replicator.core.values.column_types import ColumnType, parse_type
from replicator.errors import ConfigurationError


@pytest.mark.parametrize(
    ("written", "sql"),
    [
        ("text", "text"),
        ("TEXT", "text"),
        (" text [ ] ", "text[]"),
        ("varchar(10)", "varchar(10)"),
        ("varchar", "varchar"),
        ("character  varying ( 10 )", "varchar(10)"),
        ("numeric", "numeric"),
        ("numeric(12, 2)", "numeric(12,2)"),
        ("decimal(5)", "numeric(5,0)"),
        ("numeric[]", "numeric[]"),
        ("int8", "bigint"),
        ("int", "integer"),
        ("int4", "integer"),
        ("int2", "smallint"),
        ("bigint[]", "bigint[]"),
        ("float8", "double precision"),
        ("double precision", "double precision"),
        ("bool", "boolean"),
        ("bytea", "bytea"),
        ("bytea[]", "bytea[]"),
        ("jsonb", "jsonb"),
        ("timestamptz", "timestamptz"),
        ("timestamp with time zone", "timestamptz"),
        ("timestamp without time zone", "timestamp"),
        ("date", "date"),
        ("uuid", "uuid"),
        ("timestamp(6)", "timestamp"),
        ("timestamp(3) without time zone", "timestamp(3)"),
        ("timestamp (0) with time zone", "timestamptz(0)"),
        ("timestamptz(3)[]", "timestamptz(3)[]"),
        ("time", "time"),
        ("time(3) without time zone", "time(3)"),
        ("time with time zone", "timetz"),
        ("interval(6)", "interval"),
        ("character varying[]", "varchar[]"),
        ("character(3)", "char(3)"),
        ("char", "char(1)"),
        ("float4", "real"),
        ("json", "json"),
        ("citext", '"public"."citext"'),
        ("Extensions.CITEXT[]", '"extensions"."citext"[]'),
        ("vector(3)", '"public"."vector"(3)'),
        ('"odd ""schema"."Mood"', '"odd ""schema"."Mood"'),
        ("public.mood[]", '"public"."mood"[]'),
        ("pg_catalog.int8", "bigint"),
        ("pg_catalog.varchar(3)[]", "varchar(3)[]"),
        ("inet", "inet"),
        ("cidr[]", "cidr[]"),
        ("macaddr8", "macaddr8"),
    ],
)
def test_a_type_is_known_by_all_its_names(written, sql):
    column_type = parse_type(written)

    assert column_type.sql == sql
    assert parse_type(column_type.sql) == column_type


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("txt", "did you mean text?"),
        ("timestampz", "did you mean timestamptz?"),
        ("jsn(3)", "did you mean json?"),
        ("text[][]", "did you mean text?"),
        ("hyperloglog", "use one of bigint, boolean"),
        ("geometry", "write jsonb, and let a column of yours"),
        ("money", "write numeric(p,2)"),
        ("bigserial", "write bigint"),
        ("timestamp(7)", "write timestamp, or timestamp(p) with p from 0 to 6"),
        ("char(0)", "write char(n) with n from 1"),
        ("date with time zone", "did you mean"),
        ("money[]", "write numeric(p,2)"),
        ("public.geometry", "write jsonb"),
        ("public.mood(3)", "write public.mood alone"),
        ("vector(0)", "write the number of dimensions"),
        ("order_status", "or an enum type with its schema: public.order_status"),
        ("a.b.c", "use one of"),
        ('public.mood"; drop table x', "use one of"),
        ("", "use one of"),
        ("varchar(0)", "write varchar(n) with n from 1"),
        ("numeric(2,3)", "write numeric, or numeric(p,s) with s <= p"),
        ("numeric(1001)", "write numeric, or numeric(p,s) with s <= p <= 1000"),
        ("bigint(3)", "write bigint alone"),
        ("text; drop table x", "use one of"),
    ],
)
def test_an_unknown_type_is_refused_with_the_nearest_known_one(written, remedy):
    with pytest.raises(ConfigurationError) as refusal:
        parse_type(written)

    assert remedy in str(refusal.value.remedy)
    assert repr(written) in str(refusal.value)


def test_a_type_is_told_as_a_person_writes_it():
    labels = ["citext", "extensions.citext", "public.mood", "vector(3)[]", "numeric(12,2)"]

    assert [parse_type(label).label for label in labels] == labels


def test_only_bytea_itself_travels_as_bytes():
    assert parse_type("bytea").transport == "bytea"
    assert parse_type("bytea[]").transport == "text"
    assert ColumnType("numeric", (12, 2)).transport == "text"
