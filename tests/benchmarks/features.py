"""What each feature of a mapping costs beside plain columns: to plan, and to write."""

import gc
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from replicator.config.load_settings import load
from replicator.core.mapping.auto_columns import TYPES, AutoColumn, with_auto_columns
from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.write_plan import WritePlan
from replicator.core.stream.decoding.dynamodb_records import decode_page
from replicator.core.stream_record import StreamRecord
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.schema.catalog import Catalog
from replicator.postgres.schema.ddl_diff import statements
from replicator.postgres.write.fence import PASSED
from replicator.postgres.write.plan_writer import PlanWriter
from tests.benchmarks.forms import DOCUMENT, HISTORY, TARGET, TYPED, WITH_REST
from tests.benchmarks.load import base_orders, make_load
from tests.benchmarks.machine import Machine
from tests.benchmarks.orders import COLUMNS
from tests.benchmarks.processes import tree_cpu_seconds
from tests.benchmarks.samples import Sample
from tests.benchmarks.stages import READ_AT, SOURCE_KEY
from tests.support.daemon import configuration

PLAIN = "plain columns"
RECORDS_MAX = 10_000
_PLAIN = TYPED.configured()
_NOTHING_THERE = Catalog({}, {}, may_create_schemas=True, read_only=False, server_version=0)
_ATTRIBUTES = {**dict.fromkeys(COLUMNS, "S"), "total": "N", "quantity": "N", "discount": "N"} | {
    "paid": "BOOL",
    "meta": "M",
    "tags": "SS",
    "signature": "B",
}


@dataclass(frozen=True, slots=True)
class Feature:
    """What a configuration says below `into`, and of the table."""

    into: dict[str, Any]
    table: dict[str, Any] = field(default_factory=dict)
    appeared: bool = True
    """With `columns: auto`: all columns are there."""


def _route(number: int) -> dict[str, Any]:
    """Every sixth key or so, by the last digits but four of its sort key."""
    prefixes = [f"ORDER#0000{digit}" for digit in range(10) if digit % 6 == number]
    when = {"any": [{"sk": {"begins_with": prefix}} for prefix in prefixes]}
    return {**_PLAIN, "when": when}


FEATURES = {
    PLAIN: Feature({TARGET: _PLAIN}),
    "document mode": Feature({TARGET: DOCUMENT.configured()}),
    "`rest` for half of the attributes": Feature({TARGET: WITH_REST.configured()}),
    "`when` on the key, six targets": Feature(
        {f"public.route_{number}": _route(number) for number in range(6)}
    ),
    "`when` on an attribute": Feature(
        {TARGET: {**_PLAIN, "when": {"status": {"in": ["new", "paid", "packed", "shipped"]}}}}
    ),
    "soft deletes": Feature({TARGET: {**_PLAIN, "on_delete": "soft"}}),
    "history": Feature({TARGET: HISTORY.configured()}),
    "a child table of tags": Feature(
        {
            TARGET: {
                **_PLAIN,
                "children": {"public.tags": {"from": "tags", "value": {"tag": "text"}}},
            }
        }
    ),
    "two attributes hashed": Feature(
        {TARGET: _PLAIN}, {"personal": {"customer": "hash", "address": "hash"}}
    ),
    "`columns: auto`": Feature({TARGET: {"columns": "auto", "rest": "extra"}}),
}


@dataclass(slots=True)
class Costs:
    """Samples of planning and of writing."""

    plan: list[Sample] = field(default_factory=list)
    write: list[Sample] = field(default_factory=list)


async def run_features(machine: Machine, records: int, rounds: int) -> dict[str, Costs]:
    """Every feature once a round, in turn.

    The same changes are written twice to an empty table; the second time is measured.
    """
    records = min(records, RECORDS_MAX)
    pages = make_load("mixed", records, base_orders(records)).pages()[0]
    decoded = [decode_page(b'{"Records":' + page + b"}").records for page in pages]
    mappings = {name: compiled(machine.directory, feature) for name, feature in FEATURES.items()}
    gc.freeze()
    found = {name: Costs() for name in mappings}
    for _ in range(rounds):
        for name, mapping in mappings.items():
            found[name].plan.append(_plan(decoded, mapping, records))
            plans = [plan_batch(page, mapping, read_at=READ_AT) for page in decoded]
            found[name].write.append(await _write(machine, plans, mapping, records))
    gc.unfreeze()
    return found


def compiled(directory: Path, feature: Feature) -> TableMapping:
    """The feature's mapping, as the configuration says it."""
    (directory / "salt.txt").write_text("a salt of more than sixteen bytes")
    settings = configuration(
        endpoint_url="http://127.0.0.1:1",
        dsn="postgresql://127.0.0.1:1/none",
        tables={"orders": {**feature.table, "into": feature.into}},
        deployment="bench",
    )
    settings["hashing"] = {"salt_file": str(directory / "salt.txt")}
    settings["target"]["migrate_dsn"] = settings["target"]["dsn"]
    path = directory / "features.yaml"
    path.write_text(json.dumps(settings))
    spec = load(path, {}).table_specs()["orders"]
    if spec.targets[0].auto and feature.appeared:
        columns = [AutoColumn(TARGET, name, TYPES[tag]) for name, tag in _ATTRIBUTES.items()]
        spec = with_auto_columns(spec, columns)
    return compile_table(spec, SOURCE_KEY)


def _plan(pages: Sequence[Sequence[StreamRecord]], mapping: TableMapping, records: int) -> Sample:
    started, used = time.perf_counter(), time.process_time()
    for page in pages:
        plan_batch(page, mapping, read_at=READ_AT)
    seconds = time.process_time() - used
    return Sample(records, time.perf_counter() - started, client_seconds=seconds)


async def _write(
    machine: Machine, plans: Sequence[WritePlan], mapping: TableMapping, records: int
) -> Sample:
    async with machine.database("template0") as dsn:
        await machine.execute(
            ";".join(each.sql for each in statements(mapping.targets, _NOTHING_THERE)), dsn
        )
        database = Database(
            ConnectionSettings(dsn), deployment="bench", control_schema="none", pool_size=1
        )
        writer = PlanWriter(database, mapping, PASSED)
        try:
            await _write_all(writer, plans)
            numbered = [_later(plan) for plan in plans]
            server = tree_cpu_seconds(machine.postmaster)
            started, used = time.perf_counter(), time.process_time()
            await _write_all(writer, numbered)
            seconds = time.perf_counter() - started
            return Sample(
                records,
                seconds,
                client_seconds=time.process_time() - used,
                postgres_seconds=tree_cpu_seconds(machine.postmaster) - server,
            )
        finally:
            await database.close()


async def _write_all(writer: PlanWriter, plans: Sequence[WritePlan]) -> None:
    for plan in plans:
        if await writer.write(plan, ("", "", "stream", ""), supersede=False) is None:
            raise AssertionError("nothing was written")


def _later(plan: WritePlan) -> WritePlan:
    """The same changes under other numbers: a history takes each change once."""
    return replace(
        plan,
        writes=tuple(
            replace(writes, appends=[("9" + str(row[0]), *row[1:]) for row in writes.appends])
            for writes in plan.writes
        ),
    )
