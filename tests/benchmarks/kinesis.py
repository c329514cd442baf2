"""The same changes from a stream of DynamoDB, with and without the row guard, and from Kinesis.

Both sources are doubles that serve records which were made before; the one of Kinesis is here.
"""

import time
from base64 import b64decode, b64encode
from bisect import bisect_right
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import asyncpg
import orjson
from aiohttp import web

from tests.benchmarks import worker
from tests.benchmarks.forms import TYPED, expect, make_template, require_equal, settings_for
from tests.benchmarks.load import PAGE_RECORDS, Changed, Load, make_load
from tests.benchmarks.machine import Machine, Served
from tests.benchmarks.orders import KEY, Order
from tests.benchmarks.processes import cpu_seconds, peak_megabytes, tree_cpu_seconds
from tests.benchmarks.samples import Sample
from tests.benchmarks.throughput import SHARDS, Contender, Stand
from tests.support.daemon import Deployment, Worker, plain_start
from tests.support.http_server import served as serving
from tests.support.kinesis_tables import Destination, described, kinesis_data

GUARDED = "DynamoDB Streams, guarded"
STREAM_ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/bench"
FIRST_NUMBER = 49590338271490256608559692538361571095921575989136588898
"""Sequence numbers of Kinesis have 56 digits."""
STAYS_GUARDED = """
-- as if no shard had passed the moment of a hand-over yet
update replicator.table_state set mode = 'guard', changed_at = '2100-01-01'
"""
IDLE = {"Records": [], "MillisBehindLatest": 0}


@dataclass
class KinesisDouble:
    """A Kinesis with one stream, whose shards begin to answer when the gate is opened."""

    records: list[dict[int, bytes]]
    """The records of each shard in order, by their sequence numbers, as JSON."""
    opened: bool = False
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of iterators: number of the shard, and of records before."""

    def __post_init__(self) -> None:
        self._bodies = [list(shard.values()) for shard in self.records]
        self._numbers = [list(shard) for shard in self.records]

    async def answer(self, request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        wanted = orjson.loads(await request.read())
        match operation:
            case "GetRecords":
                body = self._records(wanted["ShardIterator"])
            case "GetShardIterator":
                body = orjson.dumps({"ShardIterator": self._asked(wanted)})
            case "ListShards":
                body = orjson.dumps({"Shards": [self._shard(n) for n in range(len(self.records))]})
            case "DescribeStreamSummary":
                body = orjson.dumps({"StreamDescriptionSummary": self._summary()})
            case _:
                return web.Response(status=400, body=b"{}")
        return web.Response(body=body, content_type="application/x-amz-json-1.1")

    def _records(self, iterator: str) -> bytes:
        shard, before = self.places[iterator]
        if not self.opened or before == len(self._bodies[shard]):
            return orjson.dumps(IDLE | {"NextShardIterator": iterator})
        # idle shards ask without room for a page: a full one would be read twice
        page = self._bodies[shard][before : before + (PAGE_RECORDS if before else 1)]
        following = self._iterator(shard, before + len(page))
        head = b'{"MillisBehindLatest":1,"NextShardIterator":"%s","Records":[' % following.encode()
        return head + b",".join(page) + b"]}"

    def _iterator(self, shard: int, before: int) -> str:
        iterator = f"{shard}-{before}"
        self.places[iterator] = shard, before
        return iterator

    def _asked(self, wanted: dict[str, Any]) -> str:
        shard, before = int(wanted["ShardId"].rpartition("-")[2]), 0
        if wanted["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER":
            before = bisect_right(self._numbers[shard], int(wanted["StartingSequenceNumber"]))
        return self._iterator(shard, before)

    def _shard(self, number: int) -> dict[str, Any]:
        return {
            "ShardId": shard_id(number),
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
            "SequenceNumberRange": {"StartingSequenceNumber": str(FIRST_NUMBER)},
        }

    def _summary(self) -> dict[str, Any]:
        return {
            "StreamName": "bench",
            "StreamARN": STREAM_ARN,
            "StreamStatus": "ACTIVE",
            "RetentionPeriodHours": 24,
            "StreamCreationTimestamp": time.time() - 3600,
            "EnhancedMonitoring": [],
            "OpenShardCount": len(self.records),
        }


def shard_id(number: int) -> str:
    return f"shardId-{number:012d}"


@asynccontextmanager
async def contenders(stand: Stand) -> AsyncIterator[dict[str, Contender]]:
    """One worker and sixteen shards each, since a shard of Kinesis gives 2 MB a second."""
    machine, load = stand.machine, make_load("mixed", stand.records, stand.base)
    template = await stand.template(TYPED)
    expected = await expect(machine, TYPED, template, load.ends.values())
    streams = partial(
        worker.run_workers,
        *(machine, template, machine.serve(load, shards=SHARDS), TYPED),
        expected=expected,
    )
    name = machine.new_name("published")
    machine.source.table(name, key=KEY, shards=1)
    records = kinesis_records(load, name)
    double = KinesisDouble(records)
    lasts = {shard_id(number): max(shard) for number, shard in enumerate(records)}
    application = web.Application()
    application.router.add_post("/", double.answer)
    destination = Destination(name, STREAM_ARN)
    async with (
        serving(application) as url,
        described(machine.source.endpoint_url, destination) as endpoint,
    ):
        form = replace(TYPED, name="kinesis")
        change = partial(_read_from_kinesis, endpoint, url)
        published = await make_template(machine, form, stand.base.values(), name, change=change)
        there = await expect(machine, TYPED, published, load.ends.values())
        from_kinesis = partial(
            _run,
            *(machine, published, Served(name, lasts, stand.records), double),
            change=change,
            expected=there,
        )
        yield {
            "DynamoDB Streams": streams,
            GUARDED: partial(streams, prepare=STAYS_GUARDED),
            "Kinesis": from_kinesis,
        }


def _read_from_kinesis(endpoint: str, url: str, settings: dict[str, Any]) -> None:
    settings["source"]["endpoint_url"] = endpoint
    source = {"kinesis": STREAM_ARN, "kinesis_endpoint_url": url}
    settings["tables"]["orders"]["source"] = source


async def _run(
    machine: Machine,
    template: str,
    served: Served,
    double: KinesisDouble,
    *,
    change: partial[None],
    expected: str,
) -> Sample:
    """As `run_workers` measures the stream of DynamoDB."""
    name = machine.new_name("run")
    directory = machine.directory / name
    directory.mkdir()
    double.opened = False
    async with machine.database(template) as dsn:
        settings = settings_for(machine, TYPED, dsn=dsn, table=served.name, leases=f"leases_{name}")
        change(settings)
        async with Deployment(directory, settings, plain_start) as deployment:
            running = deployment.start()
            sample = await _measured(machine, dsn, served, running, double)
            await running.stop()
        await require_equal(dsn, expected)
    return sample


async def _measured(
    machine: Machine, dsn: str, served: Served, running: Worker, double: KinesisDouble
) -> Sample:
    connection = await asyncpg.connect(dsn)
    try:
        await worker.shared_out(connection, served, [running])
        before = cpu_seconds(running.pid), tree_cpu_seconds(machine.postmaster)
        started = time.perf_counter()
        double.opened = True
        await worker.applied(connection, served, [running], started)
        seconds = time.perf_counter() - started
        after = cpu_seconds(running.pid), tree_cpu_seconds(machine.postmaster)
    finally:
        await connection.close()
    return Sample(
        served.records,
        seconds,
        client_seconds=after[0] - before[0],
        postgres_seconds=after[1] - before[1],
        peak_megabytes=peak_megabytes(running.pid),
    )


def kinesis_records(load: Load, table: str) -> list[dict[int, bytes]]:
    """The records of each shard in order, by their sequence numbers."""
    micros = time.time_ns() // 1000
    found: list[dict[int, bytes]] = [{} for _ in range(SHARDS)]
    for counter, change in enumerate(load.changes):
        number = FIRST_NUMBER + counter
        record = _record(change, table, number=number, micros=micros + counter)
        found[change.number % SHARDS][number] = record
    return found


def _record(change: Changed, table: str, *, number: int, micros: int) -> bytes:
    data = kinesis_data(
        table, _image(change.old), _image(change.new), micros=micros, key=tuple(KEY)
    )
    return orjson.dumps(
        {
            "SequenceNumber": str(number),
            "ApproximateArrivalTimestamp": micros / 1_000_000,
            "Data": b64encode(data).decode(),
            "PartitionKey": "0" * 32,
        }
    )


def _image(order: Order | None) -> dict[str, Any] | None:
    """The item as the SDK has it, with bytes."""
    if order is None:
        return None
    return {
        name: {"B": b64decode(value["B"])} if "B" in value else value
        for name, value in order.item().items()
    }
