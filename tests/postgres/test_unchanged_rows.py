"""A row that holds the values of a change already is not written again, and every other one is."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import asyncpg
import pytest

from replicator.core.mapping.compile_mapping import compile_table
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.table_spec import ChildSpec, ColumnSpec, TableSpec, TargetSpec
from replicator.core.telemetry_events import Operation
from replicator.core.values.column_types import ROWS, parse_type
from replicator.errors import ValueRejected
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.schema.catalog import Catalog
from replicator.postgres.schema.ddl_diff import statements
from replicator.postgres.write.fence import PASSED
from replicator.postgres.write.plan_writer import PlanWriter
from tests.support.builders import KEY, record
from tests.support.specs import column_spec
from tests.support.type_samples import arrays_of, samples_of

SAMPLED = {"char": "char(3)"}
OWN = [name for name, row in ROWS.items() if row.extension is None]
UPSERT = ("public.t", "upsert")
NOTHING_THERE = Catalog({}, {}, may_create_schemas=True, read_only=False, server_version=0)


class Target:
    """A table that changes are written to, without a fence."""

    def __init__(self, dsn: str, connection: asyncpg.Connection, spec: TargetSpec) -> None:
        self.mapping = compile_table(TableSpec("orders", "orders", (spec,)), KEY)
        settings = ConnectionSettings(dsn)
        self.database = Database(settings, deployment="t", control_schema="none", pool_size=1)
        self.connection = connection
        self.number = 0

    async def create(self) -> None:
        for each in statements(self.mapping.targets, NOTHING_THERE):
            await self.connection.execute(each.sql)

    async def write(self, **attributes: Any) -> Mapping[tuple[str, Operation], int]:
        """How many rows a change of the item wrote."""
        self.number += 1
        change = record(self.number, "a", event="modify", **attributes)
        plan = plan_batch([change], self.mapping, read_at=0.0)
        if plan.dead_letters:
            raise ValueRejected(plan.dead_letters[0].reason, attribute="", column=None)
        writer = PlanWriter(self.database, self.mapping, PASSED)
        applied = await writer.write(plan, ("", "", "stream", ""), supersede=False)
        assert applied is not None
        return applied.rows

    async def remove(self) -> Mapping[tuple[str, Operation], int]:
        self.number += 1
        plan = plan_batch([record(self.number, "a", event="remove")], self.mapping, read_at=0.0)
        writer = PlanWriter(self.database, self.mapping, PASSED)
        applied = await writer.write(plan, ("", "", "stream", ""), supersede=False)
        assert applied is not None
        return applied.rows

    async def sql(self, text: str) -> Any:
        return await self.connection.fetchval(text)


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connected = await asyncpg.connect(database)
    yield connected
    await connected.close()


async def made(dsn: str, connection: asyncpg.Connection, *columns: ColumnSpec) -> Target:
    target = Target(dsn, connection, TargetSpec("public.t", columns=columns))
    await target.create()
    return target


async def test_equal_values_of_every_type_are_written_once_and_others_each_time(
    database: str, connection: asyncpg.Connection
):
    kinds = [SAMPLED.get(name, name) for name in OWN]
    kinds += [f"{kind}[]" for kind in kinds]
    columns = [ColumnSpec(kind, (kind,), parse_type(kind)) for kind in kinds]
    target = await made(database, connection, *columns)
    try:
        for name in OWN:
            kind = SAMPLED.get(name, name)
            for column, samples in ((kind, samples_of(name)), (f"{kind}[]", arrays_of(name))):
                await writes_what_reads_differently(target, column, samples)
    finally:
        await target.database.close()


async def writes_what_reads_differently(
    target: Target, column: str, samples: list[dict[str, Any]]
) -> None:
    """Each value after the one before it, and once more."""
    held = None
    await target.write()
    for sample in [*samples, {"NULL": True}]:
        try:
            written = await target.write(**{column: sample})
        except ValueRejected:
            continue
        now = await target.sql(f'select "{column}"::text from t')
        assert written == ({} if now == held else {UPSERT: 1}), column
        assert await target.write(**{column: sample}) == {}, column
        held = now


@pytest.mark.parametrize(
    ("kind", "held", "value"),
    [
        ("numeric", "1.00", {"N": "1"}),
        ("numeric[]", "{1.00}", {"NS": ["1"]}),
        ("jsonb", '{"a": 1.00}', {"M": {"a": {"N": "1"}}}),
        ("json", '{"a" : 1}', {"M": {"a": {"N": "1"}}}),
        ("interval", "30 days", {"S": "P1M"}),
        ("double precision", "-0", {"N": "0"}),
        ("text", None, {"S": ""}),
        ("text[]", "{NULL}", {"L": []}),
    ],
)
async def test_a_value_that_reads_differently_is_written_though_it_is_equal(
    database: str, connection: asyncpg.Connection, kind: str, held: str | None, value: Any
):
    target = await made(database, connection, column_spec("c", "c", kind))
    try:
        await connection.execute(f"insert into t values ('a', $1::text::{kind})", held)

        assert await target.write(c=value) == {UPSERT: 1}
        assert await target.write(c=value) == {}
    finally:
        await target.database.close()


async def test_a_soft_deletion_and_what_comes_back_are_written_once(
    database: str, connection: asyncpg.Connection
):
    spec = TargetSpec("public.t", columns=(column_spec("n", "n", "numeric"),), on_delete="soft")
    target = Target(database, connection, spec)
    await target.create()
    try:
        await target.write(n={"N": "1"})

        assert await target.remove() == {("public.t", "delete"): 1}
        assert await target.write(n={"N": "1"}) == {UPSERT: 1}
        assert await target.sql("select _deleted_at from t") is None
        assert await target.write(n={"N": "1"}) == {}
    finally:
        await target.database.close()


async def test_child_rows_that_do_not_change_are_not_written(
    database: str, connection: asyncpg.Connection
):
    child = ChildSpec("public.c", ("l",), value=column_spec("v", "v", "text"))
    target = Target(database, connection, TargetSpec("public.t", columns=(), children=(child,)))
    await target.create()
    try:
        await target.write(l={"L": [{"S": "x"}, {"S": "y"}]})

        assert await target.write(l={"L": [{"S": "x"}, {"S": "z"}]}) == {("public.c", "upsert"): 1}
        assert await target.write(l={"L": [{"S": "x"}]}) == {("public.c", "delete"): 1}
        assert await target.write(l={"L": [{"S": "x"}]}) == {}
    finally:
        await target.database.close()
