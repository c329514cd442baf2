"""The same changes as DynamoDB Streams and as Kinesis deliver them: decoded, planned, written.

In one process and one batch after the other, so that no waiting counts: a shard of Kinesis gives
2 MB a second, and an idle one is asked again and again.
"""

import gc
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.restore_change_order import arranged
from replicator.core.planning.row_guard import Versioning, stream_versioning
from replicator.core.stream.decoding.dynamodb_records import decode_page
from replicator.core.stream.decoding.kinesis_records import decode_kinesis_page
from replicator.core.stream_record import StreamRecord
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.write.fence import PASSED
from replicator.postgres.write.plan_writer import PlanWriter
from tests.benchmarks.forms import TYPED, expect, require_equal
from tests.benchmarks.load import Changed, Load, make_load
from tests.benchmarks.machine import Machine
from tests.benchmarks.processes import tree_cpu_seconds
from tests.benchmarks.rows import KEY, PAGE_RECORDS, Row
from tests.benchmarks.samples import Sample
from tests.benchmarks.stages import READ_AT, mapping_of
from tests.benchmarks.throughput import Contender, Stand
from tests.support.kinesis_tables import kinesis_data

GUARDED = "DynamoDB Streams, guarded"
DYNAMODB = "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-11-26T00:00:00.000"
KINESIS = "arn:aws:kinesis:us-east-1:000000000000:stream/changes/orders/2026-11-26T00:00:00.000"
FIRST_NUMBER = 49590338271490256608559692538361571095921575989136588898
"""Sequence numbers of Kinesis have 56 digits."""


@dataclass(frozen=True, slots=True)
class Source:
    """The answers of a source, how they are decoded, and whether versions are written."""

    answers: list[bytes]
    decode: Callable[[bytes], Sequence[StreamRecord]]
    versioning: Versioning | None

    @property
    def answers_come_in_any_order(self) -> bool:
        return self.versioning is not None and self.versioning.order == "time"


async def contenders(stand: Stand) -> dict[str, Contender]:
    """One process each, over the same rows."""
    load = make_load("mixed", stand.records, stand.base)
    template = await stand.template(TYPED)
    expected = await expect(stand.machine, TYPED, template, load.ends.values())
    pages = [b'{"Records":' + page + b"}" for page in load.pages()[0]]
    streams = partial(Source, pages, _decode_streams)
    sources = {
        "DynamoDB Streams": streams(None),
        GUARDED: streams(stream_versioning(DYNAMODB, None)),
        "Kinesis": Source(kinesis_answers(load), _decode_kinesis, stream_versioning(KINESIS, None)),
    }
    return {
        name: partial(_run, stand.machine, template, source, stand.records, expected=expected)
        for name, source in sources.items()
    }


def _decode_streams(answer: bytes) -> list[StreamRecord]:
    return decode_page(answer).records


def _decode_kinesis(answer: bytes) -> list[StreamRecord]:
    return decode_kinesis_page(answer, table="orders", base64="twice").page.records


async def _run(
    machine: Machine, template: str, source: Source, records: int, *, expected: str
) -> Sample:
    mapping = mapping_of(TYPED)
    async with machine.database(template) as dsn:
        database = Database(
            ConnectionSettings(dsn), deployment="bench", control_schema="replicator", pool_size=1
        )
        writer = PlanWriter(database, mapping, PASSED)
        gc.freeze()
        server = tree_cpu_seconds(machine.postmaster)
        started, used = time.perf_counter(), time.process_time()
        try:
            for answer in source.answers:
                batch = source.decode(answer)
                if source.answers_come_in_any_order:
                    batch = arranged(batch, mapping.source_key).records
                plan = plan_batch(batch, mapping, read_at=READ_AT)
                arguments = (plan, ("bench", "orders", "stream", ""))
                if source.versioning is None:
                    await writer.write(*arguments, supersede=False)
                else:
                    await writer.write_guarded(
                        *arguments, supersede=True, versioning=source.versioning
                    )
            sample = Sample(
                records,
                time.perf_counter() - started,
                client_seconds=time.process_time() - used,
                postgres_seconds=tree_cpu_seconds(machine.postmaster) - server,
            )
        finally:
            gc.unfreeze()
            await database.close()
        await require_equal(dsn, expected)
    return sample


def kinesis_answers(load: Load) -> list[bytes]:
    """Answers of GetRecords with all changes in order."""
    micros = time.time_ns() // 1000
    told = [
        _record(change, number=FIRST_NUMBER + counter, micros=micros + counter)
        for counter, change in enumerate(load.changes)
    ]
    head = b'{"MillisBehindLatest":1,"NextShardIterator":"next","Records":['
    return [
        head + b",".join(told[start : start + PAGE_RECORDS]) + b"]}"
        for start in range(0, len(told), PAGE_RECORDS)
    ]


def _record(change: Changed, *, number: int, micros: int) -> bytes:
    images = _image(change.old), _image(change.new)
    spaced = kinesis_data("orders", *images, micros=micros, key=tuple(KEY))
    data = orjson.dumps(orjson.loads(spaced))  # as the answers of DynamoDB Streams
    return orjson.dumps(
        {
            "SequenceNumber": str(number),
            "ApproximateArrivalTimestamp": micros / 1_000_000,
            "Data": b64encode(data).decode(),
            "PartitionKey": "0" * 32,
        }
    )


def _image(order: Row | None) -> dict[str, Any] | None:
    """The item as the SDK has it, with bytes."""
    if order is None:
        return None
    return {
        name: {"B": b64decode(value["B"])} if "B" in value else value
        for name, value in order.item().items()
    }
