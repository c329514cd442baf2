"""The targets that are measured: how a configuration says them, and the rows they must hold."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.benchmarks.articles import ARTICLES
from tests.benchmarks.machine import Machine
from tests.benchmarks.orders import COLUMNS, LARGE_ORDERS, ORDERS
from tests.benchmarks.rows import KEY, Kind, Row, document
from tests.support.daemon import Deployment, configuration

TARGET = "public.orders"
REST = ("total", "quantity", "status", "customer", "placed", "paid")
"""The columns of the form with a rest; six other attributes go into it."""

IDLE_SECONDS_MAX = 1.0
LEASE_SECONDS = 10.0
"""Half the default, as workers look at leases more often then, and share the shards sooner."""


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write rows of a kind; `columns` None: document mode."""

    name: str
    columns: tuple[str, ...] | None
    rest: str | None = None
    history: bool = False
    kind: Kind = ORDERS

    def configured(self) -> dict[str, Any]:
        """What stands below the target's name."""
        said: dict[str, Any] = {"rest": self.rest}
        if self.columns is not None:
            said["columns"] = {name: self.kind.columns[name] for name in self.columns}
        if self.history:
            said["history"] = "public.orders_history"
        return said

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns."""
        if self.columns is None:
            return (*KEY, "data")
        return (*KEY, *self.columns, *([self.rest] if self.rest else []))

    @property
    def types(self) -> dict[str, str]:
        """The types of all columns, by their names."""
        known = dict.fromkeys(KEY, "text") | dict(self.kind.columns)
        return {name: known.get(name, "jsonb") for name in self.names}

    def cells(self, row: Row) -> tuple[Any, ...]:
        """A row as asyncpg takes it."""
        if self.columns is None:
            return row.pk, row.sk, document(row)
        by_name = dict(zip((*KEY, *self.kind.columns), row.cells(), strict=True))
        rest = (document(row, *self.columns),) if self.rest else ()
        return (row.pk, row.sk, *(by_name[name] for name in self.columns), *rest)


TYPED = Form("typed", tuple(COLUMNS))
DOCUMENT = Form("document", None)
WITH_REST = Form("rest", REST, rest="extra")
HISTORY = Form("history", tuple(COLUMNS), history=True)
ARTICLES_TYPED = Form("articles", tuple(ARTICLES.columns), kind=ARTICLES)
ARTICLES_DOCUMENT = Form("articles_document", None, kind=ARTICLES)
LARGE_TYPED = Form("orders", tuple(COLUMNS), kind=LARGE_ORDERS)
LARGE_DOCUMENT = Form("orders_document", None, kind=LARGE_ORDERS)


def settings_for(
    machine: Machine,
    form: Form,
    *,
    dsn: str,
    table: str,
    leases: str,
    lease_seconds: float = LEASE_SECONDS,
) -> dict[str, Any]:
    """The configuration of a worker; all workers of one run say the same lease table."""
    settings = configuration(
        endpoint_url=machine.source.endpoint_url,
        dsn=dsn,
        tables={
            "orders": {
                "table": table,
                "initial_load": "stream",
                "into": {TARGET: form.configured()},
            }
        },
        deployment="bench",
        lease_seconds=lease_seconds,
    )
    settings["coordination"]["table"] = leases
    settings["log"] = {"level": "info", "format": "json"}
    settings["poll"] = {"idle_seconds_max": IDLE_SECONDS_MAX}
    return settings


async def make_template(machine: Machine, form: Form, base: Iterable[Row], table: str) -> str:
    """A database as `migrate` makes it, with these rows, to be copied for every run."""
    name = f"template_{form.name}"
    await machine.execute(f"create database {name} template template0", machine.postgres.dsn)
    settings = settings_for(machine, form, dsn=machine.dsn(name), table=table, leases="none")
    directory = machine.directory / name
    directory.mkdir()
    async with Deployment(directory, settings) as deployment:
        await deployment.migrate()
    await copy_rows(machine.dsn(name), form, "orders", base)
    return name


async def copy_rows(dsn: str, form: Form, table: str, rows: Iterable[Row]) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.copy_records_to_table(
            table, records=map(form.cells, rows), columns=form.names
        )
        await connection.execute(f"analyze {table}")
    finally:
        await connection.close()


async def expect(machine: Machine, form: Form, database: str, rows: Iterable[Row]) -> str:
    """Write down the rows that a run must end in; returns the table's name."""
    table = machine.new_name("expected")
    await machine.execute(f"create table {table} (like orders)", machine.dsn(database))
    await copy_rows(machine.dsn(database), form, table, rows)
    return table


async def require_equal(dsn: str, expected: str) -> None:
    """AssertionError when the target holds other rows than were written down."""
    connection = await asyncpg.connect(dsn)
    try:
        wrong = await connection.fetchval(
            f"select count(*) from orders as t full join {expected} as e using (pk, sk)"
            " where t is distinct from e"
        )
    finally:
        await connection.close()
    if wrong:
        raise AssertionError(f"{wrong} rows are not as they must be: the figures count for nothing")
