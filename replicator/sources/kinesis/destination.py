"""The destination in Kinesis that a DynamoDB table publishes the changes to."""

from typing import TYPE_CHECKING

from replicator.aws.error_translation import FAILURES, translate
from replicator.errors import NotPublished

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

PUBLISHING = ("ACTIVE", "UPDATING")
"""States of a destination that gets every change; the second: the precision is being changed."""


async def require_active_destination(
    client: "DynamoDBClient", table: str, kinesis_arn: str
) -> str | None:
    """Precision of the creation times that the table sends to the stream, where AWS tells.

    NotPublished, with the remedy, unless the destination is active: changes of the meantime are not
    in the stream, so that nothing may be loaded yet.
    """
    try:
        answer = await client.describe_kinesis_streaming_destination(TableName=table)
    except FAILURES as error:
        raise translate(error) from error
    found = {
        each.get("StreamArn"): each for each in answer.get("KinesisDataStreamDestinations", [])
    }
    destination = found.get(kinesis_arn)
    status = "absent" if destination is None else destination.get("DestinationStatus")
    if status == "ENABLING":
        message = f"the table {table!r} does not publish to {kinesis_arn} yet: it is being enabled"
        raise NotPublished(message, remedy="wait a few minutes")
    if destination is None or status not in PUBLISHING:
        message = f"the table {table!r} does not publish to {kinesis_arn}; destination: {status}"
        raise NotPublished(
            message,
            remedy="aws dynamodb enable-kinesis-streaming-destination "
            f"--table-name {table} --stream-arn {kinesis_arn} "
            "--enable-kinesis-streaming-configuration "
            "ApproximateCreationDateTimePrecision=MICROSECOND",
        )
    return destination.get("ApproximateCreationDateTimePrecision")
