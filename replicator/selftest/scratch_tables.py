"""The scratch tables of a self-test in DynamoDB: made, written, read as raw records, deleted."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from replicator.aws.client_factory import open_client
from replicator.aws.error_translation import FAILURES, code_of, translate
from replicator.aws.observed_calls import date_of
from replicator.aws.source_connection import SourceConnection
from replicator.clock import Clock
from replicator.errors import SourceUnavailable
from replicator.selftest.assumptions import SeenAnswer, SeenRecord, StreamReading
from replicator.selftest.workload import KEY, SORT, PutItem, WorkloadChange

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient

PREFIX = "replicator-selftest-"
"""Names of all that a self-test makes in DynamoDB begin with it."""
ACTIVE_SECONDS_MAX = 120.0
READ_SECONDS_MAX = 120.0
PAUSE_SECONDS = 0.25
BURST_CALLS = 12


@dataclass(slots=True)
class _Shard:
    iterator: str | None
    parent: str | None


class Account:
    """DynamoDB as a self-test uses it. ReplicatorError where a call fails."""

    def __init__(
        self, tables: "DynamoDBClient", streams: "DynamoDBStreamsClient", clock: Clock
    ) -> None:
        self._tables = tables
        self._streams = streams
        self._clock = clock
        self.skew: float | None = None
        """The source's clock minus the machine's, in seconds, as of the last answer."""

    async def leftovers(self) -> list[str]:
        """Tables of earlier self-tests."""
        names: list[str] = []
        arguments: dict[str, Any] = {}
        while True:
            answer = await self._call(self._tables.list_tables, **arguments)
            names += [name for name in answer["TableNames"] if name.startswith(PREFIX)]
            last = answer.get("LastEvaluatedTableName")
            if last is None:
                return names
            arguments = {"ExclusiveStartTableName": last}

    async def create(self, name: str) -> str:
        """Make the scratch table, tagged, with a stream of both images; the stream's ARN."""
        await self._call(
            self._tables.create_table,
            TableName=name,
            KeySchema=[
                {"AttributeName": KEY, "KeyType": "HASH"},
                {"AttributeName": SORT, "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": KEY, "AttributeType": "S"},
                {"AttributeName": SORT, "AttributeType": "N"},
            ],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            Tags=[{"Key": "created-by", "Value": "replicator selftest"}],
        )
        deadline = self._clock.monotonic() + ACTIVE_SECONDS_MAX
        while True:
            table = (await self._call(self._tables.describe_table, TableName=name))["Table"]
            if table["TableStatus"] == "ACTIVE" and table.get("LatestStreamArn"):
                return str(table["LatestStreamArn"])
            if self._clock.monotonic() > deadline:
                message = f"the table {name} is not active after {ACTIVE_SECONDS_MAX:.0f} s"
                raise SourceUnavailable(message, remedy="run `replicator selftest` again")
            await asyncio.sleep(PAUSE_SECONDS)

    async def write(self, table: str, changes: Iterable[WorkloadChange]) -> None:
        """Make the changes, one after the other."""
        for change in changes:
            if isinstance(change, PutItem):
                await self._call(self._tables.put_item, TableName=table, Item=dict(change.item))
            else:
                await self._call(self._tables.delete_item, TableName=table, Key=dict(change.key))

    async def delete(self, name: str) -> None:
        """Delete a table; nothing happens where there is none."""
        try:
            await self._tables.delete_table(TableName=name)
        except FAILURES as error:
            if code_of(error) != "ResourceNotFoundException":
                raise translate(error) from error

    async def read(self, stream_arn: str, enough: Callable[[int], bool]) -> StreamReading:
        """Read the whole stream beside the engine until `enough` records were seen.

        Every shard is asked in turn from its oldest record, four times a second.
        """
        shards = await self._shards(stream_arn)
        records: list[SeenRecord] = []
        answers: list[SeenAnswer] = []
        bytes_max, dated = 0, False
        deadline = self._clock.monotonic() + READ_SECONDS_MAX
        while not enough(len(records)) and self._clock.monotonic() < deadline:
            for shard_id, shard in shards.items():
                if shard.iterator is None:
                    continue
                asked_at = self._source_now().timestamp()
                answer = await self._call(
                    self._streams.get_records, ShardIterator=shard.iterator, Limit=1000
                )
                shard.iterator = answer.get("NextShardIterator")
                dated = dated or date_of(answer) is not None
                length = answer["ResponseMetadata"]["HTTPHeaders"].get("content-length", "0")
                bytes_max = max(bytes_max, int(length))
                seen_at = self._source_now().timestamp()
                seen = [_seen(shard_id, record, seen_at) for record in answer["Records"]]
                records += seen
                created_at = seen[0].created_at if seen else None
                answers.append(SeenAnswer(shard_id, asked_at, len(seen), created_at))
            for shard_id, parent in (await self._listed(stream_arn)).items():
                if shard_id not in shards:
                    iterator = await self._iterator(stream_arn, shard_id)
                    shards[shard_id] = _Shard(iterator, parent)
            await asyncio.sleep(PAUSE_SECONDS)
        burst_seconds, throttled = await self._burst(shards)
        return StreamReading(
            shards={shard_id: shard.parent for shard_id, shard in shards.items()},
            records=records,
            answers=answers,
            bytes_max=bytes_max,
            calls=BURST_CALLS,
            calls_seconds=burst_seconds,
            throttled=throttled,
            bad_iterator=await self._bad_iterator(),
            dated=dated,
        )

    async def _shards(self, stream_arn: str) -> dict[str, _Shard]:
        listed = await self._listed(stream_arn)
        return {
            shard_id: _Shard(await self._iterator(stream_arn, shard_id), parent)
            for shard_id, parent in listed.items()
        }

    async def _listed(self, stream_arn: str) -> dict[str, str | None]:
        answer = await self._call(self._streams.describe_stream, StreamArn=stream_arn)
        found = answer["StreamDescription"].get("Shards", [])
        return {shard["ShardId"]: shard.get("ParentShardId") for shard in found}

    async def _iterator(self, stream_arn: str, shard_id: str) -> str:
        answer = await self._call(
            self._streams.get_shard_iterator,
            StreamArn=stream_arn,
            ShardId=shard_id,
            ShardIteratorType="TRIM_HORIZON",
        )
        return str(answer["ShardIterator"])

    async def _burst(self, shards: dict[str, _Shard]) -> tuple[float, int]:
        """Twelve calls of one shard without a pause: the seconds, and how many were refused."""
        iterator = next((shard.iterator for shard in shards.values() if shard.iterator), None)
        began, throttled = self._clock.monotonic(), 0
        for _ in range(BURST_CALLS if iterator else 0):
            try:
                answer = await self._streams.get_records(ShardIterator=str(iterator), Limit=1)
            except ClientError as error:
                throttled += "Exceeded" in code_of(error) or "Throttl" in code_of(error)
            else:
                iterator = answer.get("NextShardIterator") or iterator
        return self._clock.monotonic() - began, throttled

    async def _bad_iterator(self) -> str:
        try:
            await self._streams.get_records(ShardIterator="replicator-selftest-no-iterator")
        except FAILURES as error:
            return code_of(error)
        return "answered"

    def _source_now(self) -> datetime:
        return datetime.fromtimestamp(
            self._clock.now().timestamp() + (self.skew or 0.0)
        ).astimezone()

    async def _call(self, method: Callable[..., Any], **arguments: object) -> Any:  # noqa: ANN401 (an answer)
        try:
            answer = await method(**arguments)
        except FAILURES as error:
            raise translate(error) from error
        if (date := date_of(answer)) is not None:
            self.skew = (date - self._clock.now()).total_seconds()
        return answer


def _seen(shard_id: str, record: Any, seen_at: float) -> SeenRecord:  # noqa: ANN401 (as on the wire)
    change = record["dynamodb"]
    created = change.get("ApproximateCreationDateTime")
    return SeenRecord(
        shard_id,
        repr(sorted(change["Keys"].items())),
        int(change["SequenceNumber"]),
        created.timestamp() if created is not None else None,
        seen_at,
    )


@asynccontextmanager
async def open_account(place: SourceConnection, clock: Clock) -> AsyncIterator[Account]:
    """The account at a place; ReplicatorError where it cannot be reached."""
    async with (
        open_client("dynamodb", place) as tables,
        open_client("dynamodbstreams", place) as streams,
    ):
        yield Account(tables, streams, clock)
