"""Descriptions of DynamoDB tables: key, stream, and the images that the stream carries."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from replicator.aws.error_translation import FAILURES, translate
from replicator.core.table_spec import KeyType, SourceKey
from replicator.errors import ReplicatorError, SourceUnavailable, StreamUnfit, StreamVanished
from replicator.sources.dynamodb.view_type import ViewType, how_to_enable, require_new_images

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class TableDescription:
    """A table as DescribeTable tells.

    `stream_arn` is the newest stream, which may be off; None when there never was one.
    """

    table_arn: str
    name: str
    status: str
    key: SourceKey
    stream_arn: str | None
    stream_enabled: bool
    view_type: ViewType | None
    item_count: int
    size_bytes: int
    """Both as of up to six hours ago on AWS."""
    created_at: datetime | None


async def describe_table(client: "DynamoDBClient", name: str) -> TableDescription:
    """The table of that name or ARN; StreamVanished when there is none."""
    try:
        answer = await client.describe_table(TableName=name)
        return _description(dict(answer["Table"]))
    except FAILURES as error:
        raise named(translate(error), name) from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        message = f"DescribeTable of {name!r}: the answer is not of the shape that AWS documents"
        raise SourceUnavailable(message, remedy="check endpoint_url") from error


def require_fit_stream(description: TableDescription) -> str:
    """The ARN of a stream that can be replicated; StreamUnfit with the remedy otherwise."""
    if not description.stream_enabled or description.stream_arn is None:
        message = f"the table {description.name!r} has no stream"
        raise StreamUnfit(message, remedy=how_to_enable(description.name))
    require_new_images(description.name, description.view_type)
    return description.stream_arn


def _description(table: dict[str, Any]) -> TableDescription:
    types: dict[str, KeyType] = {
        attribute["AttributeName"]: attribute["AttributeType"]
        for attribute in table["AttributeDefinitions"]
    }
    # HASH comes before RANGE
    schema = sorted(table["KeySchema"], key=lambda element: str(element["KeyType"]))
    stream = table.get("StreamSpecification") or {}
    return TableDescription(
        table_arn=table["TableArn"],
        name=table["TableName"],
        status=table["TableStatus"],
        key=SourceKey(
            tuple((element["AttributeName"], types[element["AttributeName"]]) for element in schema)
        ),
        stream_arn=table.get("LatestStreamArn"),
        stream_enabled=bool(stream.get("StreamEnabled")),
        view_type=stream.get("StreamViewType"),
        item_count=int(table.get("ItemCount", 0)),
        size_bytes=int(table.get("TableSizeBytes", 0)),
        created_at=table.get("CreationDateTime"),
    )


def named(failure: ReplicatorError, name: str) -> ReplicatorError:
    """The failure, in the words of a person who named the table."""
    if isinstance(failure, StreamVanished):
        message = f"there is no DynamoDB table {name!r} in this account and region"
        return StreamVanished(
            message, remedy="create it, or correct `table`, the region, endpoint or role"
        )
    return failure
