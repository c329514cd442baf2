"""What the scripted source can serve: a reader that does nothing with the pages it gets."""

import time

import aiohttp
import orjson

from tests.benchmarks.machine import Machine, Served
from tests.benchmarks.processes import cpu_seconds
from tests.benchmarks.samples import Sample

_NEXT = b'"NextShardIterator":"'


async def run_source(machine: Machine, served: Served) -> Sample:
    """All pages of the only shard, one request after the other; CPU is the source's."""
    assert machine.source.pid is not None
    shard = next(iter(served.lasts))
    arn = machine.source.existing_table(served.name).stream_arn
    async with aiohttp.ClientSession(machine.source.endpoint_url) as session:

        async def call(operation: str, **arguments: object) -> bytes:
            target = {"X-Amz-Target": f"DynamoDBStreams_20120810.{operation}"}
            async with session.post("/", data=orjson.dumps(arguments), headers=target) as answer:
                return await answer.read()

        first = await call(
            "GetShardIterator", StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )
        iterator = orjson.loads(first)["ShardIterator"]
        before, started = cpu_seconds(machine.source.pid), time.perf_counter()
        read = 0
        while read < served.records:
            body = await call("GetRecords", ShardIterator=iterator, Limit=1000)
            start = body.index(_NEXT) + len(_NEXT)
            iterator = body[start : body.index(b'"', start)].decode()
            read += body.count(b'"eventID"')
        seconds = time.perf_counter() - started
    return Sample(read, seconds, client_seconds=cpu_seconds(machine.source.pid) - before)
