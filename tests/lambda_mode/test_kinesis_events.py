"""The function behind a Kinesis stream: any order, any repetition, tables that share a stream."""

import asyncio
from base64 import b64encode
from pathlib import Path
from random import Random
from typing import Any

import pytest

from replicator.core.mapping.compile_mapping import compile_table
from replicator.errors import ConfigurationError, ReplicatorError, UnknownRecord
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.schema.migrate import migrate
from tests.support.builders import KEY
from tests.support.kinesis_tables import kinesis_data
from tests.support.lambda_events import event, put
from tests.support.lambda_function import CONFIGURATION, LambdaTable

KINESIS = "arn:aws:kinesis:eu-west-1:123456789012:stream/changes"
CONFIGURED = CONFIGURATION.replace(
    "    initial_load: stream\n",
    f"    initial_load: stream\n    source: {{{{kinesis: '{KINESIS}'}}}}\n",
)
SHARED = f"""{CONFIGURED}
  items:
    poller: {{poller}}
    initial_load: stream
    source: {{{{kinesis: '{KINESIS}'}}}}
    into:
      public.u: {{{{columns: {{{{n: bigint}}}}}}}}
"""
NOW = 1_789_000_000_000_000
ALL_APPLIED: dict[str, list[Any]] = {"batchItemFailures": []}
Image = dict[str, Any]


@pytest.fixture
def published(database: str, tmp_path: Path) -> LambdaTable:
    table = LambdaTable(database, tmp_path, text=CONFIGURED)
    table.configure()
    return table


def item(pk: str, n: int) -> Image:
    return {"pk": {"S": pk}, "n": {"N": str(n)}}


def delivered(*data: bytes, stream: str = KINESIS) -> dict[str, Any]:
    """An event as Lambda makes one of Kinesis records."""
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "1",
                    "sequenceNumber": str(10**55 + number),
                    "data": b64encode(each).decode(),
                    "approximateArrivalTimestamp": 1_789_000_000.1,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000000:{10**55 + number}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/replicator",
                "awsRegion": "eu-west-1",
                "eventSourceARN": stream,
            }
            for number, each in enumerate(data)
        ]
    }


def change(old: Image | None, new: Image | None, *, at: int = 0, table: str = "orders") -> bytes:
    return kinesis_data(table, old, new, micros=NOW + at)


def test_in_any_order_and_twice_it_ends_in_the_same_rows(published: LambdaTable):
    one, two, three = item("a", 1), item("a", 2), item("a", 3)
    changes = [
        change(None, one),
        change(one, two, at=5),
        change(two, three, at=5),
        change(None, item("b", 1), at=1),
        change(item("b", 1), None, at=9),
    ]
    chance = Random(3)
    for _ in range(4):
        chance.shuffle(changes)
        for each in changes:  # ties lie in different events
            assert published.apply(delivered(each)) == ALL_APPLIED

    assert published.rows() == {"a": 3}


def test_records_of_other_tables_are_filtered(published: LambdaTable):
    foreign = change(None, item("x", 1), table="others"), b"of somebody else"

    assert published.apply(delivered(*foreign, change(None, item("a", 1)))) == ALL_APPLIED

    assert published.rows() == {"a": 1}


def test_the_stream_is_the_tables_share(published: LambdaTable):
    published.apply(delivered(change(None, item("a", 1))))

    [state] = published.fetch("select stream_arn, mode from replicator.table_state")
    assert state == {"stream_arn": f"{KINESIS}/orders", "mode": "lambda"}


def test_a_stream_that_no_table_is_read_from_is_refused(published: LambdaTable):
    with pytest.raises(ConfigurationError, match="no entry with `poller: lambda` is read from"):
        published.apply(delivered(change(None, item("a", 1)), stream=f"{KINESIS}-other"))


def test_an_event_of_the_tables_own_stream_is_refused(published: LambdaTable):
    with pytest.raises(ConfigurationError, match="no entry with `poller: lambda`"):
        published.apply(event(put(5)))


@pytest.fixture
def shared(database: str, tmp_path: Path) -> LambdaTable:
    """The tables `orders`, of `public.t`, and `items`, of `public.u`, on one stream."""
    tables = LambdaTable(database, tmp_path, text=SHARED)
    tables.configure()
    mappings = [compile_table(spec, KEY) for spec in tables.settings().table_specs().values()]
    asyncio.run(migrate(ConnectionSettings(dsn=database), "replicator", "test", mappings))
    return tables


def rows_of_both(shared: LambdaTable) -> dict[str, int]:
    return {
        table: len(shared.fetch(f"select from public.{name}"))
        for table, name in (("orders", "t"), ("items", "u"))
    }


@pytest.mark.parametrize(("bad", "good"), [("orders", "items"), ("items", "orders")])
def test_a_record_that_nobody_understands_halts_its_table_and_the_other_is_applied(
    shared: LambdaTable, bad: str, good: str
):
    early = change(None, item("x", 1), at=1 - NOW, table=bad)

    with pytest.raises(UnknownRecord, match="creation time"):
        shared.apply(delivered(early, change(None, item("a", 1), table=good)))

    assert rows_of_both(shared) == {bad: 0, good: 1}
    halted = shared.fetch("select source from replicator.table_state where halted")
    assert [row["source"] for row in halted] == [bad]


@pytest.mark.parametrize(
    ("bad", "target", "good"), [("orders", "t", "items"), ("items", "u", "orders")]
)
def test_a_table_that_cannot_be_written_does_not_keep_the_other_of_its_stream_waiting(
    shared: LambdaTable, bad: str, target: str, good: str
):
    shared.fetch(f"alter table public.{target} drop column n")

    with pytest.raises(ReplicatorError):
        shared.apply(delivered(*(change(None, item("a", 1), table=table) for table in (bad, good))))

    assert rows_of_both(shared) == {bad: 0, good: 1}


@pytest.mark.parametrize("broken", [{}, {"data": "!", "sequenceNumber": "1"}, {"data": ""}])
def test_a_record_without_its_data_is_refused(published: LambdaTable, broken: dict[str, Any]):
    given = delivered(b"")
    given["Records"][0]["kinesis"] = broken

    with pytest.raises(UnknownRecord, match="no data, or no sequence number"):
        published.apply(given)


def test_a_table_that_moves_to_kinesis_is_asked_to_be_loaded(database: str, tmp_path: Path):
    streams = LambdaTable(
        database, tmp_path, text=CONFIGURATION.replace("load: stream", "load: snapshot")
    )
    streams.configure()
    streams.apply(event(put(5)))
    published = LambdaTable(
        database, tmp_path, text=CONFIGURED.replace("load: stream", "load: snapshot")
    )
    published.configure()
    published.apply(delivered(change(None, item("z", 1))))

    [state] = published.fetch("select stream_arn, mode from replicator.table_state")
    assert state == {"stream_arn": f"{KINESIS}/orders", "mode": "lambda"}
    [asked] = published.fetch("select reason, state from replicator.snapshot")
    assert asked == {"reason": "mapping", "state": "asked"}
    assert published.rows()["z"] == 1
