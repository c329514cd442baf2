"""What `check` accepts as a column's type is compared exactly, by sweeps and by verify.

Every type that can be declared meets every type that a column of PostgreSQL's own can have: what
is accepted is loaded, swept and compared, and all else is an error before anything is written.
"""

import json
from typing import get_args

import asyncpg
import pytest

from replicator.core.planning.plan_row_deletions import plan_sweep
from replicator.core.planning.plan_snapshot_page import plan_page, records_of_page
from replicator.core.snapshot.snapshot_state import SegmentAdvance, SnapshotFacts
from replicator.core.table_spec import KeyColumnSpec, KeyType, TargetSpec
from replicator.core.values.column_types import ROWS, key_types, parse_type
from replicator.core.values.row_builder import Row
from replicator.core.verify.row_diff import MustBe
from replicator.postgres.read.compare_target_rows import TargetRows
from replicator.postgres.read.find_stale_rows import StaleRows
from replicator.postgres.schema.catalog import ExistingTable, read_catalog
from replicator.postgres.schema.table_fitness import fitness
from replicator.postgres.schema.type_fitness import accepts
from replicator.postgres.write.plan_writer import SegmentSink
from tests.postgres.loaded import Loaded, registered
from tests.support.builders import NOON, table_mapping
from tests.support.specs import column_spec
from tests.support.type_samples import samples_of
from tests.support.wide import every

WITH_BOUNDS = {
    "varchar": ["varchar(10)", "varchar(20)"],
    "char": ["char(3)", "char(10)"],
    "numeric": ["numeric(5,0)", "numeric(12,2)", "numeric(30,10)"],
    **{
        name: [f"{name}(0)", f"{name}(3)"]
        for name in ("time", "timetz", "timestamp", "timestamptz", "interval")
    },
}
OWN = [
    each
    for name, row in ROWS.items()
    if row.extension is None
    for each in (name, *WITH_BOUNDS.get(name, ()))
]
KEYS = [
    (tag, each)
    for tag in get_args(KeyType)
    for name in key_types(tag)
    for each in (name, *WITH_BOUNDS.get(name, ()))
]
SAMPLES = {
    "S": ["b", "a", "B", "é"],
    "N": ["10", "9", "-1", "0", "1"],
    "B": ["AA==", "/w==", "AAE="],
}
OF_TYPE = {
    "date": ["2024-02-29", "2024-03-01", "0001-01-01"],
    "uuid": [f"{digit * 8}-aaaa-aaaa-0000-000000000000" for digit in "0af"],
}

KEYS_OF_RUNS = [
    pytest.param(*key.values[0], marks=key.marks, id="-".join(key.values[0]))
    for key in every(3, of=KEYS)
]


def accepted(declared: str) -> list[str]:
    return [existing for existing in OWN if accepts(existing, parse_type(declared))]


def written(declared: str) -> str:
    """The type of a column that is there, with the collation that `migrate` gives keys of it."""
    return declared + (' collate "C"' if parse_type(declared).row.collated else "")


async def load(loaded: Loaded, snapshot: SnapshotFacts, *images: str) -> list[list[Row]]:
    """Load items as the one part of a snapshot; the rows of each target."""
    raw = [memoryview(image.encode()) for image in images]
    page = records_of_page(raw, loaded.mapping.source_key)
    plan = plan_page(page, loaded.mapping, read_at=0.0)
    assert plan.dead_letters == ()
    advance = SegmentAdvance("x", len(page), plan.rows, 1.0, ended=True)
    sink = SegmentSink(loaded.database, loaded.mapping)
    await sink.apply(plan, claim=await loaded.claim(snapshot), advance=advance)
    return [list(writes.upserted.rows) for writes in plan.writes]


async def unequal(loaded: Loaded, rows: list[list[Row]]) -> dict[str, object]:
    """What `verify` finds, by the name of the target."""
    found: dict[str, object] = {}
    reader = TargetRows(loaded.database, loaded.name)
    for target, of_target in zip(loaded.mapping.targets, rows, strict=True):
        looked = await reader.compare(target, [MustBe(row) for row in of_target])
        hashes = (await reader.key_hashes(target, after=None)).hashes
        if sorted(hashes) != sorted(0 if each is None else each.key_hash or 0 for each in looked):
            found[target.name] = "another key"
        if any(each is None or each.differing for each in looked):
            found[target.name] = looked
    return found


async def stale_rows_of(loaded: Loaded, target: str, snapshot: SnapshotFacts) -> list[Row]:
    finder, position = StaleRows(loaded.database, loaded.mapping), None
    stale_rows: list[Row] = []
    while (found := await finder.find(target, snapshot.id, position, rows_max=1)).last:
        stale_rows += found.stale_rows
        position = found.last
    return stale_rows


@pytest.mark.parametrize(("tag", "declared"), KEYS_OF_RUNS)
async def test_a_key_column_that_is_accepted_is_swept_and_compared_exactly(
    migrated_database: str, tag: KeyType, declared: str
):
    kind = parse_type(declared)
    ghost, *there = [
        each for each in OF_TYPE.get(kind.name, SAMPLES[tag]) if declared != "char" or len(each) < 2
    ]
    existing = accepted(declared)
    assert declared in existing
    targets = [
        TargetSpec(
            f"public.t{number}",
            key=(KeyColumnSpec("k", "k", kind),),
            columns=(),
            existing_rows="delete",
        )
        for number in range(len(existing))
    ]
    mapping = table_mapping(*targets, key=(("k", tag),))
    connection = await asyncpg.connect(migrated_database)
    for number, each in enumerate(existing):
        cell = mapping.targets[number].key_of({"k": {tag: ghost}})[0]
        given = "bytea" if isinstance(cell, bytes) else "text"
        await connection.execute(f"create table public.t{number} (k {written(each)} primary key)")
        await connection.execute(f"insert into public.t{number} values ($1::{given}::{each})", cell)
    await connection.close()
    loaded = await registered(migrated_database, mapping)

    snapshot = await loaded.begin()
    rows = await load(loaded, snapshot, *(f'{{"k":{{"{tag}":"{text}"}}}}' for text in there))
    for number, target in enumerate(mapping.targets):
        stale_rows = await stale_rows_of(loaded, target.name, snapshot)
        assert [target.item_keys(key) for key in stale_rows] == [{"k": {tag: ghost}}], existing[
            number
        ]
        plan = plan_sweep(mapping, target.name, stale_rows, at=NOON)
        advance = SegmentAdvance(None, 1, 1, 0.0, ended=True)
        claim = await loaded.claim(snapshot, 1 + number)
        await SegmentSink(loaded.database, mapping).apply(plan, claim=claim, advance=advance)
        left = await loaded.sql(f"select count(*) from public.t{number}")
        assert left == [(len(there),)], existing[number]

    assert await unequal(loaded, rows) == {}
    await loaded.database.close()


@pytest.mark.parametrize("declared", every(3, of=OWN))
async def test_a_column_that_is_accepted_is_compared_exactly(migrated_database: str, declared: str):
    column = column_spec("v", "v", declared, on_invalid="null")
    existing = accepted(declared)
    assert declared in existing
    mapping = table_mapping(
        *(
            TargetSpec(f"public.t{number}", columns=(column,), existing_rows="delete")
            for number in range(len(existing))
        )
    )
    connection = await asyncpg.connect(migrated_database)
    for number, each in enumerate(existing):
        await connection.execute(
            f'create table public.t{number} (pk text collate "C" primary key, v {each})'
        )
    await connection.close()
    loaded = await registered(migrated_database, mapping)
    images = [
        json.dumps({"pk": {"S": str(number)}, "v": value})
        for number, value in enumerate(samples_of(parse_type(declared).name))
    ]

    rows = await load(loaded, await loaded.begin(), *images)

    assert any(row[1] is not None for row in rows[0])
    assert await unequal(loaded, rows) == {}
    for number in range(len(existing)):
        await loaded.sql(f"update public.t{number} set v = null where v is not null")
    assert (await unequal(loaded, rows)).keys() == {target.name for target in mapping.targets}
    await loaded.database.close()


async def test_every_other_type_is_an_error_of_check(migrated_database: str):
    connection = await asyncpg.connect(migrated_database)
    names = {each: ("public", f"t{number}") for number, each in enumerate(OWN)}
    for each, (_, name) in names.items():
        await connection.execute(f"create table public.{name} (pk text primary key, v {each})")
    catalog = await read_catalog(connection, names.values())
    await connection.close()
    wrong = [
        (declared, each)
        for declared in OWN
        for each, (schema, name) in names.items()
        if _has_error(catalog.tables[schema, name], declared) == (each in accepted(declared))
    ]

    assert wrong == []


def _has_error(existing: ExistingTable, declared: str) -> bool:
    spec = TargetSpec(
        existing.name if "." in existing.name else f"public.{existing.name}",
        columns=(column_spec("v", "v", declared),),
    )
    [target] = table_mapping(spec).targets
    findings = fitness(target.table, existing)
    return any(each.severity == "error" and "does not hold" in each.message for each in findings)
