"""A DynamoDB table that publishes its changes to a Kinesis stream, in AWS's exact form.

No emulator does: one writes each item, and puts the record that AWS would into kinesis-local. The
destination is described by an endpoint in front of the emulator.
"""

import asyncio
import json
import time
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import md5
from typing import Any, Literal

from botocore.exceptions import ClientError

from tests.support.daemon import Worker
from tests.support.exports import Item, export_service
from tests.support.kinesis_local import kinesis_client
from tests.support.waiting import eventually

Precision = Literal["MILLISECOND", "MICROSECOND"]
RECORDS_PER_PUT = 500
TTL = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def kinesis_data(
    table: str,
    old: Item | None,
    new: Item | None,
    *,
    micros: int,
    key: tuple[str, ...] = ("pk",),
    precision: Precision | None = "MICROSECOND",
    base64: Literal["twice", "once"] = "twice",
    expired: bool = False,
    **others: Any,
) -> bytes:
    """The data of a record; `precision` None: one of before there was a choice, in milliseconds.

    Items are as the SDK takes them, with bytes for binary values.
    """
    item = new or old or {}
    time_told = micros if precision == "MICROSECOND" else micros // 1000
    images = {"NewImage": new, "OldImage": old}
    record = {
        "awsRegion": "us-east-1",
        "eventID": str(uuid.uuid4()),
        "eventName": "INSERT" if old is None else "REMOVE" if new is None else "MODIFY",
        "userIdentity": TTL if expired else None,
        "recordFormat": "application/json",
        "tableName": table,
        "dynamodb": {
            "ApproximateCreationDateTime": time_told,
            "Keys": wire({name: item[name] for name in key}, base64),
            **{name: wire(image, base64) for name, image in images.items() if image is not None},
            "SizeBytes": len(str(item)),
            **({} if precision is None else {"ApproximateCreationDateTimePrecision": precision}),
        },
        "eventSource": "aws:dynamodb",
        **others,
    }
    return json.dumps(record).encode()


def wire(value: Any, base64: Literal["twice", "once"]) -> Any:
    """A typed value as it is in a record: binary is in base64, and AWS's once more."""
    match value:
        case bytes():
            once = b64encode(value)
            return (b64encode(once) if base64 == "twice" else once).decode()
        case Mapping():
            return {name: wire(member, base64) for name, member in value.items()}
        case list() | set() | frozenset():
            return [wire(member, base64) for member in value]
        case _:
            return value


@dataclass
class Destination:
    """What DynamoDB says of a table's destination; `status` may change."""

    table: str
    stream_arn: str
    status: str = "ACTIVE"
    precision: Precision = "MICROSECOND"
    calls: list[str] = field(default_factory=list)
    held: int = 0
    """Looks at the table that wait for the end of `unseen`."""
    _seen: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._seen.set()

    @asynccontextmanager
    async def unseen(self, worker: Worker) -> AsyncIterator[None]:
        """The only worker sees nothing of what the block does with the table until it is done.

        A worker looks once at a time: where a look waits, none is under way.
        """

        async def waits() -> bool:
            return self.held > 0

        self._seen.clear()
        try:
            await worker.until(waits, what="the worker is about to look at the table")
            yield
        finally:
            self._seen.set()

    async def answer(self, operation: str, request: Item) -> Item | None:
        if request.get("TableName", "").rpartition("/")[2] == self.table:
            self.calls.append(operation)
            if operation == "DescribeTable":
                self.held += 1
                await self._seen.wait()
                self.held -= 1
        if operation != "DescribeKinesisStreamingDestination":
            return None
        told = {
            "StreamArn": self.stream_arn,
            "DestinationStatus": self.status,
            "ApproximateCreationDateTimePrecision": self.precision,
        }
        return {"TableName": self.table, "KinesisDataStreamDestinations": [told]}


@dataclass
class KinesisStream:
    """One Kinesis stream, and what changes its shards."""

    client: Any
    name: str
    arn: str

    async def put(self, data: bytes, *, key: str) -> None:
        """Put a record; records of one key lie in one shard, until that is split or merged."""
        await self.client.put_record(StreamARN=self.arn, Data=data, PartitionKey=key)

    async def put_all(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Put many records, each with its key."""
        for start in range(0, len(records), RECORDS_PER_PUT):
            entries = [
                {"PartitionKey": key, "Data": data}
                for key, data in records[start : start + RECORDS_PER_PUT]
            ]
            answer = await self.client.put_records(StreamARN=self.arn, Records=entries)
            assert answer["FailedRecordCount"] == 0, answer

    async def arrivals(self, shard_id: str) -> list[datetime]:
        """When records of a shard arrived, oldest first, by the clock of the service."""
        begin = await self.client.get_shard_iterator(
            StreamARN=self.arn, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
        )
        read = await self.client.get_records(ShardIterator=begin["ShardIterator"])
        return [record["ApproximateArrivalTimestamp"] for record in read["Records"]]

    async def open_shards(self) -> list[Any]:
        shards = (await self.client.list_shards(StreamARN=self.arn))["Shards"]
        opened = [s for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
        return sorted(opened, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))

    async def split(self) -> None:
        """Split the first shard in the middle."""
        shard = (await self.open_shards())[0]
        first, last = (
            int(shard["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending")
        )
        await self.client.split_shard(
            StreamARN=self.arn,
            ShardToSplit=shard["ShardId"],
            NewStartingHashKey=str((first + last) // 2),
        )
        await self.active()

    async def merge(self) -> None:
        """Merge the first two shards."""
        one, other = (await self.open_shards())[:2]
        await self.client.merge_shards(
            StreamARN=self.arn, ShardToMerge=one["ShardId"], AdjacentShardToMerge=other["ShardId"]
        )
        await self.active()

    async def create_again(self, *, shards: int = 1) -> None:
        """Delete the stream with all its records, and create one under its name and ARN."""
        await self.delete()
        await self.create(shards=shards)

    async def delete(self) -> None:
        """Delete the stream with all its records."""
        await self.client.delete_stream(StreamName=self.name, EnforceConsumerDeletion=True)

        async def gone() -> bool:
            names = (await self.client.list_streams(Limit=1000))["StreamNames"]
            return self.name not in names

        await eventually(gone, what=f"{self.name} is gone")

    async def create(self, *, shards: int = 1) -> None:
        """Create a stream of the name and the ARN."""
        await self.client.create_stream(StreamName=self.name, ShardCount=shards)
        await self.active()

    async def active(self) -> None:
        async def is_active() -> bool:
            described = await self.client.describe_stream_summary(StreamARN=self.arn)
            return bool(described["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE")

        await eventually(is_active, what=f"the stream {self.name} is active")


@asynccontextmanager
async def kinesis_stream(url: str, name: str, *, shards: int = 1) -> AsyncIterator[KinesisStream]:
    """A new stream."""
    async with kinesis_client(url) as client:
        await client.create_stream(StreamName=name, ShardCount=shards)

        async def arn() -> str:
            try:
                described = await client.describe_stream_summary(StreamName=name)
            except ClientError:
                return ""
            return str(described["StreamDescriptionSummary"]["StreamARN"])

        stream = KinesisStream(client, name, await eventually(arn, what=f"there is {name}"))
        await stream.active()
        yield stream


@dataclass
class PublishingTable:
    """A table whose changes are written to DynamoDB and put into the Kinesis stream.

    `deliver` may put each record differently: twice, later, elsewhere; it is given the key of its
    item. `precision` may change in mid-stream.
    """

    client: Any
    name: str
    stream: KinesisStream
    precision: Precision | None = "MICROSECOND"
    micros: Callable[[], int] = lambda: time.time_ns() // 1000
    deliver: Callable[[str, bytes], Any] | None = None
    published: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def put(self, item: Item) -> None:
        """Write an item."""
        async with self.lock:
            done = await self.client.put_item(
                TableName=self.name, Item=item, ReturnValues="ALL_OLD"
            )
            old = done.get("Attributes")
            if old != item:  # a write that changes nothing is no change
                await self.publish(old, item)

    async def delete(self, pk: str, *, expired: bool = False) -> None:
        """Delete an item."""
        async with self.lock:
            done = await self.client.delete_item(
                TableName=self.name, Key={"pk": {"S": pk}}, ReturnValues="ALL_OLD"
            )
            if done.get("Attributes"):
                await self.publish(done["Attributes"], None, expired=expired)

    async def publish(
        self, old: Item | None, new: Item | None, *, micros: int | None = None, **options: Any
    ) -> None:
        """Put the record of a change, whatever the table holds."""
        data = kinesis_data(
            self.name,
            old,
            new,
            micros=self.micros() if micros is None else micros,
            precision=self.precision,
            **options,
        )
        key = (new or old or {})["pk"]["S"]
        self.published += 1
        if self.deliver is not None:
            await self.deliver(key, data)
            return
        await self.stream.put(data, key=partition_key(key))


def partition_key(pk: str) -> str:
    """A key of 32 upper-case hexadecimal digits, as AWS makes one for each item."""
    return md5(pk.encode(), usedforsecurity=False).hexdigest().upper()


def described(url: str, destination: Destination) -> Any:
    """The URL of the emulator, where DynamoDB also describes the destination."""
    return export_service(url, lambda: destination)
