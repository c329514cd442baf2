"""Batches of Lambda's failure destination, given back by the command."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Stage
from tests.end_to_end.conftest import stage as stage  # noqa: PLC0414 (a fixture)
from tests.support import endpoints
from tests.support.builders import STREAM
from tests.support.command import Ended, replicator
from tests.support.lambda_events import event, put
from tests.support.lambda_function import LambdaTable

pytestmark = pytest.mark.both_emulators

NOW = datetime.now(UTC)
OLD = NOW - timedelta(hours=49)
INFO = {
    "shardId": "shardId-00000001",
    "startSequenceNumber": f"{1:021d}",
    "endSequenceNumber": f"{2:021d}",
    "approximateArrivalOfFirstRecord": "2026-03-01T12:00:00Z",
    "approximateArrivalOfLastRecord": "2026-03-01T12:00:00Z",
    "batchSize": 2,
    "streamArn": STREAM,
}


def redrive(table: LambdaTable, folder: Path, *documents: object, options: Any = ()) -> Ended:
    """The command's end with a file of these documents."""
    file = folder / "failed.json"
    file.write_text("\n".join(map(json.dumps, documents)))
    command = replicator("lambda", "redrive", str(file), "--json", *options, config=table.file)
    return asyncio.run(command)


def payload(*records: Any) -> dict[str, Any]:
    """An object as S3 gets it."""
    return {
        "requestContext": {},
        "DDBStreamBatchInfo": INFO,
        "payload": json.dumps(event(*records)),
    }


def test_batches_may_be_given_back_twice_in_any_order_and_after_newer_changes(
    table: LambdaTable, tmp_path: Path
):
    table.apply(event(put(5, at=NOW)))
    older = payload(put(3, at=NOW), put(4, "b", at=NOW))

    first = redrive(
        table, tmp_path, older, event(put(7, "c", at=NOW)), payload(put(2, "b", at=NOW))
    )
    again = redrive(table, tmp_path, older)

    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert table.rows() == {"a": 5, "b": 4, "c": 7}
    assert [each["applied"] for each in first.document["batches"]] == [1, 1, 0]
    assert [each["superseded"] for each in again.document["batches"]] == [2]
    [action, *_] = table.fetch("select verb, source from replicator.action")
    assert action == {"verb": "redrive", "source": "orders"}


def test_a_record_that_does_not_fit_is_a_dead_letter_of_the_redrive(
    table: LambdaTable, tmp_path: Path
):
    bad = put(1, at=NOW)
    bad["dynamodb"]["NewImage"]["n"] = {"S": "no number"}

    ended = redrive(table, tmp_path, payload(bad, put(2, "b", at=NOW)))

    assert (ended.code, ended.document["batches"][0]["dead_letters"]) == (0, 1)
    assert table.rows() == {"b": 2}


def test_records_whose_versions_may_be_pruned_are_refused_as_a_gap(
    table: LambdaTable, tmp_path: Path
):
    ended = redrive(table, tmp_path, payload(put(1, at=OLD), put(2, "b", at=NOW)))

    assert ended.code == 3
    assert "this is a gap" in ended.err
    assert "replicator snapshot" in ended.err
    assert table.rows() == {}
    [gap] = table.fetch("select kind, state, shard_id, detail from replicator.gap")
    assert (gap["kind"], gap["state"], gap["shard_id"]) == ("possible", "open", None)
    assert "guard.retention_hours" in gap["detail"]


def test_what_comes_after_a_gap_on_record_is_written_and_the_gap_is_accepted(
    table: LambdaTable, tmp_path: Path
):
    redrive(table, tmp_path, payload(put(1, at=OLD)))
    redrive(table, tmp_path, payload(put(1, at=OLD)))

    after = redrive(table, tmp_path, payload(put(2, "b", at=NOW)))
    accepted = asyncio.run(
        replicator("gaps", "accept", "--table", "orders", "--why", "old", config=table.file)
    )

    assert (after.code, accepted.code) == (0, 0), after.err + accepted.err
    assert table.rows() == {"b": 2}
    assert [gap["state"] for gap in table.fetch("select state from replicator.gap")] == ["accepted"]


@pytest.mark.parametrize(
    ("records", "code", "pending"), [([put(1, at=NOW)], 0, [1]), ([put(1, at=OLD)], 3, [])]
)
def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(
    table: LambdaTable, tmp_path: Path, records: list[Any], code: int, pending: list[int]
):
    ended = redrive(table, tmp_path, payload(*records), options=["--dry-run"])

    assert ended.code == code, ended.err
    assert [each["pending"] for each in ended.document["batches"]] == pending
    assert table.rows() == {}
    assert table.fetch("select from replicator.action where verb = 'redrive'") == []
    assert table.fetch("select from replicator.gap") == []


def test_what_a_snapshot_has_loaded_since_is_left_out(table: LambdaTable, tmp_path: Path):
    table.fetch(
        "insert into replicator.snapshot (deployment, source, reason, state, who, started_at)"
        " values ('test', 'orders', 'asked', 'done', 'Ada', $1)",
        NOW - timedelta(hours=1),
    )
    before = NOW - timedelta(hours=2)

    ended = redrive(table, tmp_path, payload(put(1, at=before), put(2, "b", at=NOW)))
    place = redrive(table, tmp_path, {"DDBStreamBatchInfo": INFO})

    assert table.rows() == {"b": 2}
    assert [ended.document["batches"][0]["loaded"], place.document["batches"][0]["loaded"]] == [
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ("paused = true", 3, "stopped"),
        ("mode = 'guard'", 3, "polled by the daemon"),
        ("snapshot_id = 1", 2, "under way"),
        (f"stream_arn = '{STREAM.replace('03-01', '03-02')}'", 3, "this is a gap"),
    ],
)
def test_a_table_that_may_not_be_written_is_refused(
    table: LambdaTable, tmp_path: Path, change: str, code: int, words: str
):
    table.fetch(f"update replicator.table_state set {change}")

    ended = redrive(table, tmp_path, payload(put(1, at=NOW)))

    assert (ended.code, words in ended.err) == (code, True), ended.err
    assert table.rows() == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no batch"),
        ('{"Records": []}', "line 1: no batch that Lambda gave up: an event without records"),
        (json.dumps(event(put(1, at=NOW))) + "\n{no", "line 2: is not JSON"),
        (json.dumps({"payload": "{"}), "the message inside is not JSON"),
        (json.dumps({"DDBStreamBatchInfo": {**INFO, "endSequenceNumber": "0"}}), "known shape"),
        (json.dumps({"KinesisBatchInfo": {}}), "neither `DDBStreamBatchInfo`"),
        (
            json.dumps(event(put(1, at=NOW, stream_arn=STREAM.replace("/orders", "/parts")))),
            "is the table of",
        ),
    ],
)
def test_a_malformed_file_is_named_with_its_line_and_nothing_is_applied(
    table: LambdaTable, tmp_path: Path, text: str, words: str
):
    file = tmp_path / "failed.json"
    file.write_text(text)

    ended = asyncio.run(replicator("lambda", "redrive", str(file), config=table.file))

    assert (ended.code, words in ended.err, str(file) in ended.err) == (2, True, True), ended.err
    assert table.rows() == {}


def test_a_table_that_the_daemon_polls_is_refused(table: LambdaTable, tmp_path: Path):
    table.configure(poller="daemon")

    ended = redrive(table, tmp_path, payload(put(1, at=NOW)))

    assert (ended.code, "polled by the daemon" in ended.err) == (2, True)


async def test_a_place_in_the_stream_is_read_there_and_applied_or_told_as_a_gap(stage: Stage):
    name = await stage.create_table("orders", {"pk": "S"})
    entry = {
        "table": name,
        "poller": "lambda",
        "initial_load": "stream",
        "into": {"public.t": {"columns": {"n": "bigint"}}},
    }
    async with stage.deployment({"orders": entry}) as deployment:
        await deployment.migrate()
        for number in range(5):
            item = {"pk": {"S": f"k{number}"}, "n": {"N": str(number)}}
            await stage.client.put_item(TableName=name, Item=item)
        async with endpoints.streams_client(stage.url) as streams:
            info = await place_of(streams, name, slice(0, 3))
        queue = {"Messages": [{"Body": json.dumps({"DDBStreamBatchInfo": info})}]}
        topic = {"Type": "Notification", "Message": json.dumps({"DDBStreamBatchInfo": info})}
        lost = {"DDBStreamBatchInfo": {**info, "batchSize": 4}}
        start = info["startSequenceNumber"]
        unknown = str(int(start) - 1).zfill(len(start))
        shard = "shardId-00000000000000000000-00000000"  # one emulator looks at it, one does not
        gone_place = {**info, "startSequenceNumber": unknown, "shardId": shard}
        gone = {"DDBStreamBatchInfo": gone_place}
        found = []
        for number, document in enumerate((lost, gone, queue, topic)):
            file = stage.directory / f"{number}.json"
            file.write_text(json.dumps(document))
            found.append(await deployment.command("lambda", "redrive", str(file), "--json"))
        gaps = await deployment.command("gaps", "list", "--json")

    for refused in found[:2]:
        assert (refused.code, "this is a gap" in refused.stderr) == (3, True), refused.text
        assert json.loads(refused.stdout)["batches"] == []
    assert {gap["kind"] for gap in json.loads(gaps.stdout)["gaps"]} == {"certain"}
    for applied, count in zip(found[2:], (3, 0), strict=True):
        assert applied.code == 0, applied.text
        assert json.loads(applied.stdout)["batches"][0]["applied"] == count


async def place_of(streams: Any, name: str, part: slice) -> dict[str, Any]:
    """The place of some of the records that a table's stream holds."""
    [stream] = (await streams.list_streams(TableName=name))["Streams"]
    arn = stream["StreamArn"]
    [shard] = (await streams.describe_stream(StreamArn=arn))["StreamDescription"]["Shards"]
    start = await streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )
    page = await streams.get_records(ShardIterator=start["ShardIterator"])
    numbers = [record["dynamodb"]["SequenceNumber"] for record in page["Records"]][part]
    return {
        **INFO,
        "shardId": shard["ShardId"],
        "startSequenceNumber": numbers[0],
        "endSequenceNumber": numbers[-1],
        "batchSize": len(numbers),
        "streamArn": arn,
    }
