"""DynamoDB Streams as a source: list shards, obtain iterators, read pages as raw bytes."""

import zlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from replicator.core.observations import Observe, SourceAnswered
from replicator.core.records import Page, decode_page
from replicator.core.shards import ListedShard
from replicator.errors import SourceUnavailable
from replicator.sources.failures import code_of, translate

if TYPE_CHECKING:
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient
    from types_aiobotocore_dynamodbstreams.type_defs import ShardTypeDef

SEQUENCE_NUMBER_DIGITS_MIN = 21
"""The API model's minimum length; shorter numbers are filled with zeros."""
SHARDS_PER_PAGE = 100
RECORDS_PER_PAGE = 1000


def _nobody_listens(_: datetime) -> None:
    pass


class DynamoDBStreams:
    """The stream calls for one connection. It waits for nothing: retries are the caller's.

    `heard` is told the source's time with every answer.
    """

    def __init__(
        self,
        client: "DynamoDBStreamsClient",
        observe: Observe,
        *,
        heard: Callable[[datetime], None] = _nobody_listens,
    ) -> None:
        self._client = client
        self._heard = heard
        self._observe = observe
        client.meta.events.register("before-parse.dynamodb-streams.GetRecords", keep_raw_body)

    async def listed_shards(self, stream_arn: str) -> AsyncIterator[list[ListedShard]]:
        """The stream's shards page by page, so that a page that fails costs only what follows.

        A listing is eventually consistent: what it does not show may exist.
        """
        start: str | None = None
        while True:
            arguments: dict[str, Any] = {"StreamArn": stream_arn, "Limit": SHARDS_PER_PAGE}
            if start is not None:
                arguments["ExclusiveStartShardId"] = start
            answer = await self._call("DescribeStream", self._client.describe_stream, **arguments)
            description = answer["StreamDescription"]
            yield [_listed(shard) for shard in description.get("Shards", [])]
            start = description.get("LastEvaluatedShardId")
            if start is None:
                return

    async def children(self, stream_arn: str, shard_id: str) -> list[ListedShard]:
        """The children of an ended shard, as far as the source tells: it may not yet."""
        answer = await self._call(
            "DescribeStream",
            self._client.describe_stream,
            StreamArn=stream_arn,
            ShardFilter={"Type": "CHILD_SHARDS", "ShardId": shard_id},
        )
        shards = [_listed(shard) for shard in answer["StreamDescription"].get("Shards", [])]
        return [shard for shard in shards if shard.parent_id == shard_id]

    async def iterator(self, stream_arn: str, shard_id: str, *, after: int | None) -> str:
        """An iterator after a sequence number, or at the oldest record that is left (None)."""
        arguments: dict[str, Any] = {"StreamArn": stream_arn, "ShardId": shard_id}
        if after is None:
            arguments["ShardIteratorType"] = "TRIM_HORIZON"
        else:
            arguments["ShardIteratorType"] = "AFTER_SEQUENCE_NUMBER"
            arguments["SequenceNumber"] = sequence_text(after)
        answer = await self._call("GetShardIterator", self._client.get_shard_iterator, **arguments)
        return str(answer["ShardIterator"])

    async def read(self, iterator: str) -> Page:
        """The next page of a shard. UnknownRecord when a record's meaning is not known."""
        answer = await self._call(
            "GetRecords",
            self._client.get_records,
            ShardIterator=iterator,
            Limit=RECORDS_PER_PAGE,
        )
        if answer["ChecksumFits"] is False:
            message = "GetRecords: the answer does not match its checksum"
            raise SourceUnavailable(message)
        try:
            return decode_page(answer["RawBody"])
        except (msgspec.MsgspecError, ValueError) as error:
            message = "GetRecords: the answer is not complete JSON"
            raise SourceUnavailable(message) from error

    async def _call(self, operation: str, method: Callable[..., Any], **arguments: object) -> Any:  # noqa: ANN401 (an answer as the SDK gives it)
        try:
            answer = await method(**arguments)
        except (BotoCoreError, ClientError) as error:
            self._observe(SourceAnswered(operation, code_of(error)))
            raise translate(error) from error
        self._observe(SourceAnswered(operation, "ok"))
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date is not None:
            self._heard(parsedate_to_datetime(date))
        return answer


def keep_raw_body(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Keep a GetRecords body as bytes: botocore's parser costs 200 µs a record, ours three.

    Signing, retries and error parsing stay botocore's. It never checks the checksum of stream
    answers, so that is done here.
    """
    if response_dict["status_code"] != 200:
        return
    body = response_dict["body"]
    checksum = response_dict["headers"].get("x-amz-crc32")
    customized_response_dict["RawBody"] = body
    customized_response_dict["ChecksumFits"] = (
        None if checksum is None else zlib.crc32(body) == int(checksum)
    )
    response_dict["body"] = b"{}"


def sequence_text(sequence_number: int) -> str:
    """A sequence number as the API takes it."""
    return str(sequence_number).zfill(SEQUENCE_NUMBER_DIGITS_MIN)


def label_time(stream_arn: str) -> datetime:
    """When the stream was created: its label, the last part of its ARN, is that time in UTC."""
    return datetime.fromisoformat(stream_arn.rpartition("/")[2]).replace(tzinfo=UTC)


def _listed(shard: "ShardTypeDef") -> ListedShard:
    numbers = shard.get("SequenceNumberRange", {})
    return ListedShard(
        shard_id=shard["ShardId"],
        parent_id=shard.get("ParentShardId") or None,
        closed="EndingSequenceNumber" in numbers,
    )
