"""The function behind a Kinesis stream: any order, any repetition, tables that share a stream."""

from base64 import b64encode
from pathlib import Path
from random import Random
from typing import Any

import pytest

from replicator.errors import ConfigurationError, UnknownRecord
from tests.support.kinesis_tables import kinesis_data
from tests.support.lambda_events import event, put
from tests.support.lambda_function import CONFIGURATION, LambdaTable

KINESIS = "arn:aws:kinesis:eu-west-1:123456789012:stream/changes"
CONFIGURED = CONFIGURATION.replace(
    "    initial_load: stream\n",
    f"    initial_load: stream\n    source: {{{{kinesis: '{KINESIS}'}}}}\n",
)
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
