"""The way that docs/architecture.md tells of a record is the way that the code goes."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from replicator.clock import SystemClock
from replicator.core.records import decode_page
from replicator.core.table_spec import TargetSpec
from replicator.engine.stream.pipeline import Batch, Pipeline
from replicator.postgres.control.stream.claims import Claims
from replicator.postgres.write.fenced_sink import PostgresSink
from tests.house.ways import PACKAGE, Way, column_way, followed
from tests.postgres.loaded import SHARD, Loaded, registered
from tests.support.builders import STREAM, table_mapping
from tests.support.specs import column_spec

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


def wire(*numbers: int) -> bytes:
    """A page of GetRecords as it comes over the wire."""
    records = [
        {
            "eventName": "INSERT",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_700_000_000 + number,
                "Keys": {"pk": {"S": f"order-{number}"}},
                "NewImage": {"pk": {"S": f"order-{number}"}, "total": {"N": "12.5"}},
                "SequenceNumber": str(number).zfill(21),
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        }
        for number in numbers
    ]
    return json.dumps({"Records": records, "NextShardIterator": "next"}).encode()


@pytest.fixture
async def loaded(migrated_database: str) -> AsyncIterator[Loaded]:
    mapping = table_mapping(
        TargetSpec(
            "public.orders",
            columns=(column_spec("total", "total", "numeric"),),
        )
    )
    table = await registered(migrated_database, mapping)
    async with table.database.connection("making a way") as connection:
        await connection.execute("select 1")
    yield table
    await table.database.close()


async def way_of(loaded: Loaded) -> Way:
    """The way of one usual record, page to COMMIT, after a first batch has made all texts."""
    sink = PostgresSink(loaded.database, loaded.mapping)
    clock = SystemClock()
    pipeline = Pipeline(loaded.name, loaded.mapping, sink, lambda _: None, clock)
    claim = await Claims(loaded.database, "worker").claim(
        loaded.name, STREAM, SHARD, mapping_fingerprint=loaded.mapping.fingerprint
    )
    for number in (1, 2):
        with followed() as way:
            page = decode_page(wire(number))
            batch = Batch(
                page.records, page.records[-1].position, clock.now(), attempting=lambda: None
            )
            claim = await pipeline.process(batch, claim, asyncio.Event())
    assert await loaded.sql("select count(*) from public.orders") == [(2,)]
    return way


async def test_the_page_names_every_file_that_a_usual_record_passes(loaded: Loaded):
    way = await way_of(loaded)

    assert told("The way of a record") == way.modules


def told(heading: str) -> list[str]:
    """The files in the table of a section of the page."""
    _, _, behind = PAGE.read_text().partition(f"\n## {heading}\n")
    section, _, _ = behind.partition("\n## ")
    return re.findall(r"^\| `([\w/]+\.py)` \|", section, re.MULTILINE)


def test_every_file_that_the_page_names_is_there():
    named = set(re.findall(r"`([\w/]+/\w+\.py)`", PAGE.read_text()))
    missing = sorted(
        name
        for name in named
        if not any((root / name).exists() for root in (PACKAGE, PACKAGE.parent))
    )

    assert missing == []


def test_a_column_of_the_configuration_is_parsed_once(tmp_path: Path):
    way = column_way(tmp_path / "replicator.yaml")

    assert way.calls["parse_type", "numeric(12,2)"] == 1
    assert way.calls["parse_path", "total"] == 1


def test_the_page_names_every_file_that_a_column_passes(tmp_path: Path):
    way = column_way(tmp_path / "replicator.yaml")

    assert told("The way of a column") == way.modules
