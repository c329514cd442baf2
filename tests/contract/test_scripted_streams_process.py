"""The scripted streams in a process of their own, controlled over HTTP."""

import subprocess
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.support import endpoints
from tests.support.bounds import USUAL_SECONDS
from tests.support.scripted_streams import AsyncRemoteStreams, RemoteStreams, start_process
from tests.support.scripted_streams.client import ControlError
from tests.support.scripted_streams.process import command
from tests.support.stream_builders import item, record_pages


@pytest.fixture(scope="module")
def server() -> Iterator[RemoteStreams]:
    with start_process() as streams:
        yield streams


async def read_all(url: str, arn: str, shard_id: str) -> list[Any]:
    async with endpoints.streams_client(url) as client:
        answer = await client.get_shard_iterator(
            StreamArn=arn, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
        )
        return (await client.get_records(ShardIterator=answer["ShardIterator"]))["Records"]


async def test_the_verbs_are_the_same_over_http(server: RemoteStreams, table_name: str):
    orders = server.table(table_name, key={"pk": "S"}, shards={0: 1, 1: [2, 3]})
    owner = orders.owner({"pk": {"S": "a"}})
    orders.put({"pk": {"S": "a"}, "n": {"N": "1"}, "b": {"B": b"\x01"}})
    orders.delete({"pk": {"S": "a"}})
    children = orders.split(2)

    records = await read_all(server.endpoint_url, orders.stream_arn, orders.shard_id(owner))

    assert children == [4, 5]
    assert orders.open_shards() == [3, 4, 5]
    assert [record["eventName"] for record in records] == ["INSERT", "REMOVE"]
    assert records[0]["dynamodb"]["NewImage"]["b"] == {"B": b"\x01"}
    [read] = server.calls("GetRecords", table=table_name)
    assert (read.shard, read.outcome, read.records) == (owner, "ok", 2)


async def test_faults_and_time_are_controlled_over_http(server: RemoteStreams, table_name: str):
    orders = server.table(table_name)
    orders.put(item("a"))
    server.fail("GetShardIterator", "ThrottlingException", table=table_name, times=2)
    await read_all(server.endpoint_url, orders.stream_arn, orders.shard_id(0))
    before = server.now()
    server.advance(hours=25)

    outcomes = [call.outcome for call in server.calls("GetShardIterator", table=table_name)]
    assert outcomes == ["ThrottlingException", "ThrottlingException", "ok"]
    assert server.now() - before >= 25 * 3600
    assert orders.records(0) == []


async def test_a_test_need_not_block_while_it_controls(server: RemoteStreams, table_name: str):
    async with AsyncRemoteStreams(server.endpoint_url) as remote:
        await remote.do("table", table_name, shards=2)
        await remote.load_pages(table_name, 1, list(record_pages(2, records=5, shard=1)))
        arn = await remote.do("stream_arn", on=table_name)
        shard_id = await remote.do("shard_id", 1, on=table_name)

        assert len(await read_all(server.endpoint_url, arn, shard_id)) == 5


def test_a_verb_that_does_not_exist_is_refused(server: RemoteStreams):
    with pytest.raises(ControlError, match="unknown verb"):
        server.explode()
    with pytest.raises(ControlError, match="no-such-table"):
        server.existing_table("no-such-table").split(0)


def test_a_script_of_verbs_can_be_given_at_the_start(tmp_path: Any):
    script = tmp_path / "script.jsonl"
    verbs: list[dict[str, Any]] = [
        {"verb": "table", "positional": ["orders"], "arguments": {"shards": {"0": [1, 2]}}},
        {"verb": "roll_over", "table": "orders", "positional": [1]},
    ]
    script.write_bytes(b"\n".join(orjson.dumps(verb) for verb in verbs))

    with start_process(script=script) as streams:
        assert streams.existing_table("orders").open_shards() == [2, 3]


def test_a_server_ends_with_the_one_who_started_it():
    with subprocess.Popen(
        command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert "endpoint_url" in server.stdout.readline()
        server.stdin.close()

        assert server.wait(USUAL_SECONDS) == 0
