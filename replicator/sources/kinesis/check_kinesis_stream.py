"""Checks of the Kinesis stream that a table publishes the changes to."""

from typing import TYPE_CHECKING, Any

from replicator.aws.client_factory import open_client
from replicator.aws.error_translation import FAILURES, translate
from replicator.aws.source_connection import SourceConnection, kinesis_place
from replicator.core.check_findings import Finding, finding_of
from replicator.errors import NotPublished, ReplicatorError
from replicator.sources.dynamodb.describe_table import TableDescription
from replicator.sources.kinesis.destination import require_active_destination

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

COARSE = "MILLISECOND"
KIBIBYTE = 1024
IMAGES = 2
"""Images of an item in one record: before the change, and after."""
ITEM_KIBIBYTES_MAX = 400
"""The largest item of DynamoDB."""
JSON_FACTOR = 16 / 9
"""Length of an item in JSON against what DynamoDB counts: of binary, in base64 twice. Of many small
values it is more, of long texts less."""


async def check_destination(
    where: str,
    client: "DynamoDBClient",
    description: TableDescription,
    kinesis_arn: str,
    connection: SourceConnection,
) -> list[Finding]:
    """The table's destination, each right that reading takes, and what the stream cannot carry."""
    try:
        precision = await require_active_destination(client, description.name, kinesis_arn)
        place = kinesis_place(kinesis_arn, connection)
        async with open_client("kinesis", place, attempts=1) as kinesis:
            summary = await _read_a_little(kinesis, kinesis_arn)
    except NotPublished as error:
        return [Finding("error", where, str(error), error.remedy or "")]
    except ReplicatorError as error:
        return [finding_of(where, error)]
    return [*_precision(where, description.name, kinesis_arn, precision), *_size(where, summary)]


async def _read_a_little(kinesis: Any, kinesis_arn: str) -> dict[str, Any]:  # noqa: ANN401 (no types)
    """Try each right that reading takes; the stream's description."""
    try:
        described = await kinesis.describe_stream_summary(StreamARN=kinesis_arn)
        listed = await kinesis.list_shards(StreamARN=kinesis_arn, MaxResults=1)
        iterator = await kinesis.get_shard_iterator(
            StreamARN=kinesis_arn,
            ShardId=listed["Shards"][0]["ShardId"],
            ShardIteratorType="LATEST",
        )
        await kinesis.get_records(ShardIterator=iterator["ShardIterator"], Limit=1)
    except FAILURES as error:
        raise translate(error) from error
    summary: dict[str, Any] = described["StreamDescriptionSummary"]
    return summary


def _precision(where: str, table: str, kinesis_arn: str, precision: str | None) -> list[Finding]:
    if precision != COARSE:
        return []
    return [
        Finding(
            "warning",
            where,
            "its changes carry milliseconds, so that more of an item's changes have one time",
            f"aws dynamodb update-kinesis-streaming-destination --table-name {table} --stream-arn "
            f"{kinesis_arn} --update-kinesis-streaming-configuration "
            "ApproximateCreationDateTimePrecision=MICROSECOND",
        )
    ]


def _size(where: str, summary: dict[str, Any]) -> list[Finding]:
    """A change whose record is larger than the stream takes is not delivered, and nobody reads of
    it: the largest item of binary that both images fit for.
    """
    limit = summary.get("MaxRecordSizeInKiB") or KIBIBYTE
    fits = int(limit / IMAGES / JSON_FACTOR)
    if fits >= ITEM_KIBIBYTES_MAX:
        return []
    return [
        Finding(
            "warning",
            where,
            f"a change of an item above about {fits} KB, or of a smaller one with many small "
            f"values, may be larger than the {limit} KiB that a record of the stream may have: "
            "DynamoDB does not deliver it, and no reader can tell",
            "raise the limit (aws kinesis update-max-record-size), and watch DynamoDB's metric "
            "FailedToReplicateRecordCount",
        )
    ]
