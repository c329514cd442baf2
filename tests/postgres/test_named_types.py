"""Enum types, domains and the types of extensions: made, checked, written, compared and refused."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.table_spec import TargetSpec
from replicator.core.values.column_types import ROWS, ColumnType, parse_type
from replicator.core.values.converters import compile_converter
from replicator.core.verify.row_diff import Difference, expectation, judge
from replicator.errors import BatchRejected, ConfigurationError
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.read.compare_target_rows import TargetRows
from replicator.postgres.schema.catalog import read_catalog
from replicator.postgres.schema.database_survey import survey
from replicator.postgres.schema.migrate import migrate
from replicator.postgres.schema.table_fitness import fitness
from replicator.postgres.write.plan_writer import PostgresSink
from tests.postgres.loaded import Loaded, registered
from tests.support.builders import record, table_mapping
from tests.support.missing_part import skip_without
from tests.support.postgres_versions import VersionMissing, postgres_of
from tests.support.specs import column_spec

EXTENSIONS = sorted({row.extension for row in ROWS.values() if row.extension is not None})
# the first has no contrib modules, the others have no pgvector
SERVERS = [None, pytest.param(17, marks=pytest.mark.wide), 14]
VECTOR = [{"N": "1"}, {"N": "0.1"}, {"N": "-2.5"}]
CASES: list[tuple[str, Any, str]] = [
    ("citext", {"S": "Ada"}, "Ada"),
    ("citext[]", {"SS": ["b", "A"]}, "{A,b}"),
    ("hstore", {"M": {"b": {"S": 'a"\\'}, "a": {"NULL": True}}}, '"a"=>NULL, "b"=>"a\\"\\\\"'),
    ("hstore", {"M": {}}, ""),
    ("hstore[]", {"L": [{"M": {"a": {"S": ","}}}]}, '{"\\"a\\"=>\\",\\""}'),
    ("ltree", {"S": "top.countries_1"}, "top.countries_1"),
    ("ltree", {"S": ""}, ""),
    ("ltree[]", {"SS": ["a.b"]}, "{a.b}"),
    ("vector", {"L": VECTOR}, "[1,0.1,-2.5]"),
    ("vector(3)", {"L": VECTOR}, "[1,0.1,-2.5]"),
    ("vector", {"L": [{"N": "-0.006929283495992422"}]}, "[-0.0069292835]"),
    ("vector[]", {"L": [{"L": VECTOR[:1]}]}, "{[1]}"),
    ("halfvec(2)", {"L": [{"N": "0.5"}, {"N": "0.099975586"}]}, "[0.5,0.099975586]"),
    ("halfvec[]", {"L": [{"L": [{"N": "1"}]}]}, "{[1]}"),
]


@pytest.fixture(scope="module", params=SERVERS, ids=["usual", "17", "14"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The DSN of a server, of which each has other extensions."""
    try:
        with postgres_of(request.param) as running:
            yield running.dsn
    except VersionMissing as missing:
        skip_without(missing)


@pytest.fixture
async def connection(server: str):
    connected = await asyncpg.connect(server)
    await connected.execute("drop schema if exists lab cascade; create schema lab")
    await connected.execute("drop schema public cascade; create schema public")
    await connected.execute("drop schema if exists replicator cascade")
    yield connected
    await connected.close()


async def extended(connection: asyncpg.Connection, column_type: ColumnType) -> None:
    name = column_type.row.extension
    there = await connection.fetchval(
        "select exists (select from pg_available_extensions where name = $1)", name
    )
    if not there:
        pytest.skip(f"this server has no {name}")
    await connection.execute(f"create extension if not exists {name} with schema public")


def mapping(kind: str, **options: Any) -> TableMapping:
    columns = (column_spec("c", "c", kind, **options),)
    return table_mapping(TargetSpec("public.t", columns=columns))


def test_every_type_of_an_extension_and_its_arrays_are_tried():
    tried = {(parsed.name, parsed.array) for parsed in (parse_type(case[0]) for case in CASES)}

    named = {name for name, row in ROWS.items() if row.extension is not None}
    assert tried == {(name, array) for name in named for array in (False, True)}


@pytest.mark.parametrize(("kind", "value", "expected"), CASES)
async def test_a_value_of_an_extension_s_type_reads_back_exactly(
    connection: asyncpg.Connection, kind: str, value: Any, expected: str
):
    column_type = parse_type(kind)
    await extended(connection, column_type)
    cell = compile_converter(column_type, attribute="a", column="c")(value)

    await connection.execute("set search_path = pg_catalog")
    await connection.execute(f"create temporary table seen (value {column_type.sql})")
    await connection.execute(f"insert into seen select $1::text::{column_type.sql}", cell)
    found = await connection.fetchrow(
        f"select value::text, {column_type.compared('value')} is not distinct from "
        f"{column_type.compared(f'$1::text::{column_type.asked}')} as equal from seen",
        cell,
    )

    assert found is not None
    assert dict(found) == {"value": expected, "equal": True}


@pytest.mark.parametrize("kind", list(dict.fromkeys(case[0] for case in CASES)))
async def test_a_column_of_an_extension_s_type_is_made_and_fits(
    server: str, connection: asyncpg.Connection, kind: str
):
    await extended(connection, parse_type(kind))
    wanted = mapping(kind)

    await migrate(ConnectionSettings(dsn=server), "replicator", "test", [wanted])

    table = wanted.targets[0].table
    catalog = await read_catalog(connection, [("public", "t")])
    assert fitness(table, catalog.tables["public", "t"]) == []
    await connection.execute("set search_path = pg_catalog")
    catalog = await read_catalog(connection, [("public", "t")])
    assert fitness(table, catalog.tables["public", "t"]) == []


async def test_a_missing_extension_is_found_with_the_statement_that_brings_it(
    server: str, connection: asyncpg.Connection
):
    found = await survey(connection, "replicator", "test", [mapping("citext")])

    [finding] = found.findings
    assert "the type citext of the column 'c' does not exist" in finding.message
    assert 'create extension "citext" with schema "public"' in finding.remedy
    with pytest.raises(ConfigurationError, match="the type citext of the column 'c'"):
        await migrate(ConnectionSettings(dsn=server), "replicator", "test", [mapping("citext")])


async def test_an_extension_in_another_schema_is_named_with_it(
    server: str, connection: asyncpg.Connection
):
    await extended(connection, parse_type("citext"))
    await connection.execute("alter extension citext set schema lab")

    [finding] = (await survey(connection, "replicator", "test", [mapping("citext")])).findings

    assert finding.remedy == "write lab.citext: it is in that schema"
    await migrate(ConnectionSettings(dsn=server), "replicator", "test", [mapping("lab.citext")])


MOOD = "create type lab.mood as enum ('glad', 'so so')"


@asynccontextmanager
async def registering(server: str, wanted: TableMapping) -> AsyncIterator[Loaded]:
    loaded = await registered(server, wanted)
    try:
        yield loaded
    finally:
        await loaded.database.close()


async def write(loaded: Loaded, number: int, key: str, **value: Any) -> None:
    await loaded.apply(record(number, key, event="insert", c=value))


async def difference(loaded: Loaded, key: str, **value: Any) -> Difference | None:
    """What a comparison of the item with its row says."""
    [target] = loaded.mapping.targets
    keys = {"pk": {"S": key}}
    expected = expectation(target, keys, {**keys, "c": value})
    [found] = await TargetRows(loaded.database, "orders").compare(target, [expected])
    return judge(expected, found)


@pytest.fixture
async def moods(server: str, connection: asyncpg.Connection):
    await connection.execute(MOOD)
    async with registering(server, mapping("lab.mood")) as loaded:
        yield loaded


async def test_labels_are_those_that_the_enum_type_has_when_a_row_is_written(
    connection: asyncpg.Connection, moods: Loaded
):
    await write(moods, 1, "a", S="so so")
    with pytest.raises(BatchRejected, match=r"no label of the enum type lab\.mood"):
        await write(moods, 2, "b", S="secret")
    await connection.execute("alter type lab.mood add value 'sad'")
    await write(moods, 2, "b", S="sad")

    assert await connection.fetchval("select string_agg(c::text, ',' order by pk) from t") == (
        "so so,sad"
    )


async def test_an_item_with_a_text_that_is_no_label_can_be_compared(moods: Loaded):
    await write(moods, 1, "a", S="glad")

    assert await difference(moods, "a", S="glad") is None
    assert await difference(moods, "a", S="unknown") == Difference("different", ("c",))
    assert await difference(moods, "b", S="unknown") == Difference("missing")


async def test_an_enum_type_with_capitals_is_named_as_it_must_be_written(
    connection: asyncpg.Connection,
):
    """Prisma makes types with capitals; SQL folds names that nobody quotes."""
    await connection.execute("create type lab.\"Mood\" as enum ('glad')")

    [found] = (await survey(connection, "replicator", "test", [mapping("lab.Mood")])).types

    assert "the type lab.mood of the column 'c' does not exist" in found.message
    written = found.remedy.split("'")[1]
    assert written == '"lab"."Mood"'
    assert (await survey(connection, "replicator", "test", [mapping(written)])).types == ()


async def test_an_enum_type_that_is_missing_or_none_is_found(connection: asyncpg.Connection):
    await connection.execute("create domain lab.amount as numeric(12,2)")
    await connection.execute(MOOD)

    async def findings(kind: str, **options: Any) -> list[tuple[str, str]]:
        found = await survey(connection, "replicator", "test", [mapping(kind, **options)])
        return [(finding.message, finding.remedy) for finding in found.types]

    assert await findings("lab.mood") == []
    assert await findings("lab.mood", constant="glad") == []
    [(message, remedy)] = await findings("lab.mood", default="angry")
    assert "the default of the column 'c' is no label of lab.mood" in message
    assert remedy == """write one of glad, so so, or alter type "lab"."mood" add value 'angry'"""
    await connection.execute(remedy.partition(", or ")[2])
    assert await findings("lab.mood", default="angry") == []
    [(message, _)] = await findings("lab.amount")
    assert message == "the type lab.amount of the column 'c' is a domain, not an enum type"
    [(_, remedy)] = await findings("public.mood")
    assert remedy == "write lab.mood: it is in that schema"
    [(_, remedy)] = await findings("lab.other")
    assert remedy.startswith('create type "lab"."other" as enum (…)')


@pytest.mark.parametrize(
    ("existing", "declared", "fits"),
    [
        ("lab.mood", "lab.mood", True),
        ("lab.mood[]", "lab.mood[]", True),
        ("lab.mood", "text", False),
        ("text", "lab.mood", False),
        ("lab.mood", "public.mood", False),
        ("lab.amount", "numeric(12,2)", True),
        ("lab.amount", "numeric", False),
        ("lab.small_amount", "numeric(12,2)", True),
        ("lab.amount[]", "numeric(12,2)[]", False),
        ("lab.names", "text[]", True),
        ("lab.feeling", "lab.mood", True),
    ],
)
async def test_a_column_of_a_domain_or_an_enum_type_fits_what_it_is_made_of(
    connection: asyncpg.Connection, existing: str, declared: str, *, fits: bool
):
    await connection.execute(
        f"{MOOD}; create domain lab.amount as numeric(12,2);"
        "create domain lab.small_amount as lab.amount check (value < 100);"
        "create domain lab.names as text[]; create domain lab.feeling as lab.mood;"
        f'create table t (pk text collate "C" primary key, c {existing})'
    )
    catalog = await read_catalog(connection, [("public", "t")])

    found = fitness(mapping(declared).targets[0].table, catalog.tables["public", "t"])

    assert (found == []) == fits


async def test_what_the_check_of_a_domain_refuses_is_the_row_s_fault(
    server: str, connection: asyncpg.Connection
):
    await connection.execute(
        "create domain lab.amount as numeric(12,2) check (value < 100);"
        'create table t (pk text collate "C" primary key, c lab.amount)'
    )
    async with registering(server, mapping("numeric(12,2)")) as loaded:
        await write(loaded, 1, "a", N="99.99")
        with pytest.raises(BatchRejected, match=r"for domain lab\.amount violates"):
            await write(loaded, 2, "b", N="100")

        assert await connection.fetchval("select c from t where pk = 'a'") == Decimal("99.99")
        assert await difference(loaded, "a", N="99.99") is None
        assert await difference(loaded, "a", N="100") == Difference("different", ("c",))


@pytest.mark.parametrize(("kind", "value", "_"), CASES)
async def test_a_row_of_an_extension_s_type_is_written_and_compared(
    server: str, connection: asyncpg.Connection, kind: str, value: Any, _: str
):
    await extended(connection, parse_type(kind))
    async with registering(server, mapping(kind)) as loaded:
        await write(loaded, 1, "a", **value)

        assert await difference(loaded, "a", **value) is None
        assert await difference(loaded, "a", NULL=True) == Difference("different", ("c",))


async def test_texts_that_citext_calls_equal_are_different_values(
    server: str, connection: asyncpg.Connection
):
    await extended(connection, parse_type("citext"))
    async with registering(server, mapping("citext")) as loaded:
        await write(loaded, 1, "a", S="Ada")

        assert await difference(loaded, "a", S="ada") == Difference("different", ("c",))


async def test_a_label_path_that_only_newer_versions_take_is_the_row_s_fault_on_older_ones(
    server: str, connection: asyncpg.Connection
):
    """A hyphen is in a label since PostgreSQL 16; before, it is called a syntax error (42601)."""
    await extended(connection, parse_type("ltree"))
    async with registering(server, mapping("ltree")) as loaded:
        await write(loaded, 1, "a", S="top.plain")
        if connection.get_server_version().major >= 16:
            await write(loaded, 2, "b", S="top.with-hyphen")
            assert await difference(loaded, "b", S="top.with-hyphen") is None
            return
        with pytest.raises(BatchRejected, match="a text that this version's ltree refuses"):
            await write(loaded, 2, "b", S="top.with-hyphen")

        assert await difference(loaded, "b", S="top.with-hyphen") == Difference("missing")
        bad, good = (
            plan_batch([record(2, key, event="insert", c={"S": path})], loaded.mapping, read_at=0.0)
            for key, path in (("b", "top.with-hyphen"), ("c", "top"))
        )
        refused = await PostgresSink(loaded.database, loaded.mapping).refusals(bad, [good])
        assert set(refused) == {"public.t"}
