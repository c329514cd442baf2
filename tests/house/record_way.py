"""The way of one usual record through real parts, from its page to its COMMIT."""

import asyncio
import json

from replicator.clock import SystemClock
from replicator.core.stream.decoding.dynamodb_records import decode_page
from replicator.core.table_spec import TargetSpec
from replicator.engine.stream.plan_and_apply_batch import Batch, BatchPipeline
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.write.plan_writer import PostgresSink
from tests.house.ways import Way, followed
from tests.postgres.loaded import SHARD, Loaded, registered
from tests.support.builders import STREAM, table_mapping
from tests.support.specs import column_spec


def wire(*numbers: int) -> bytes:
    """A page of GetRecords as it comes over the wire."""
    records = [
        {
            "eventName": "INSERT",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_700_000_000 + number,
                "Keys": {"pk": {"S": f"order-{number}"}},
                "NewImage": {
                    "pk": {"S": f"order-{number}"},
                    "total": {"N": "12.5"},
                    "status": {"S": "paid"},
                    "gift": {"BOOL": True},
                },
                "SequenceNumber": str(number).zfill(21),
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        }
        for number in numbers
    ]
    return json.dumps({"Records": records, "NextShardIterator": "next"}).encode()


async def record_way(dsn: str) -> Way:
    """The way of a record in a database of its own, after a first batch has made all texts."""
    columns = (  # several, so that a way to another file for each of them would be counted
        column_spec("total", "total", "numeric"),
        column_spec("status", "status", "text"),
        column_spec("gift", "gift", "boolean"),
    )
    mapping = table_mapping(TargetSpec("public.orders", columns=columns))
    loaded = await registered(dsn, mapping)
    try:
        async with loaded.database.connection("making a way") as connection:
            await connection.execute("select 1")
        return await _way_in(loaded)
    finally:
        await loaded.database.close()


async def _way_in(loaded: Loaded) -> Way:
    sink = PostgresSink(loaded.database, loaded.mapping)
    clock = SystemClock()
    pipeline = BatchPipeline(loaded.name, loaded.mapping, sink, lambda _: None, clock)
    claim = await Claims(loaded.database, "worker").claim(
        loaded.name, STREAM, SHARD, mapping_fingerprint=loaded.mapping.fingerprint
    )
    for number in (1, 3):
        with followed() as way:
            page = decode_page(wire(number, number + 1))  # one alone goes another way
            batch = Batch(
                page.records, page.records[-1].position, clock.now(), attempting=lambda: None
            )
            batch = pipeline.planned(batch, claim)  # as `engine/stream/shard_replicator.py` does
            claim = await pipeline.process(batch, claim, asyncio.Event())
    assert await loaded.sql("select count(*) from public.orders") == [(4,)]
    return way
