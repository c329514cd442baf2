"""Checks of a source table and of the lease table, each finding with the remedy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replicator.aws.client_factory import open_client
from replicator.aws.error_translation import FAILURES, translate
from replicator.aws.source_connection import SourceConnection
from replicator.core.check_findings import Finding, finding_of
from replicator.core.snapshot.scan_and_export_cost import recovery_cost
from replicator.errors import (
    ReplicatorError,
    SourceDenied,
    StreamUnfit,
    StreamVanished,
)
from replicator.sources.dynamodb.describe_table import (
    TableDescription,
    describe_table,
    require_fit_stream,
)
from replicator.sources.dynamodb.s3_exports import recovery_of
from replicator.sources.kinesis.check_kinesis_stream import check_destination

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient

LEASE_KEY = "leaseKey"
LEASE_PAGES_MAX = 50
READERS_MAX = 2  # of one shard, as AWS documents it


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table to check: the name in the configuration, and the place in AWS.

    `kinesis`: the ARN of the Kinesis stream that is read in place of DynamoDB Streams.
    """

    name: str
    table: str
    connection: SourceConnection
    kinesis: str | None = None


@dataclass(frozen=True, slots=True)
class CheckedSource:
    """A table that was checked; `description` None: it could not be seen."""

    description: TableDescription | None
    findings: tuple[Finding, ...]


async def check_sources(tables: list[SourceTable]) -> dict[str, CheckedSource]:
    """Read every table and its stream; what fails is a finding, and the next one follows."""
    checked: dict[str, CheckedSource] = {}
    for connection in dict.fromkeys(table.connection for table in tables):
        here = [table for table in tables if table.connection == connection]
        try:
            async with (
                open_client("dynamodb", connection, attempts=1) as client,
                open_client("dynamodbstreams", connection, attempts=1) as streams,
            ):
                for table in here:
                    checked[table.name] = await _check_source(table, client, streams)
        except ReplicatorError as error:
            for table in here:
                checked[table.name] = CheckedSource(None, (finding_of(_where(table), error),))
    return checked


async def check_coordination(
    name: str, connection: SourceConnection, deployment: str, streams: Mapping[str, str]
) -> list[Finding]:
    """Read the lease table, and look in the table for other readers of `streams` (ARN to table)."""
    where = f"coordination table {name}"
    try:
        async with open_client("dynamodb", connection, attempts=1) as client:
            try:
                description = await describe_table(client, name)
            except StreamVanished:
                return []  # `run` creates it
            if description.key.attributes != ((LEASE_KEY, "S"),):
                return [_wrong_shape(where, description)]
            return await _other_readers(client, name, deployment, streams)
    except ReplicatorError as error:
        return [finding_of(where, error)]


async def lambda_readers(stream_arn: str, connection: SourceConnection) -> list[str]:
    """Lambda functions that read the stream; [] where the credentials may not ask."""
    try:
        async with open_client("lambda", connection, attempts=1) as client:
            answer = await client.list_event_source_mappings(EventSourceArn=stream_arn)
    except (*FAILURES, ReplicatorError):
        return []
    return [
        str(mapping.get("FunctionArn", "")).rpartition(":")[2]
        for mapping in answer.get("EventSourceMappings", [])
        if mapping.get("State") not in {"Disabled", "Deleting"}
    ]


async def check_recovery(
    name: str, table: str, size_bytes: int, connection: SourceConnection
) -> list[Finding]:
    """Point-in-time recovery of a table that is to be exported; the absence is a finding."""
    where = f"table {name}"
    try:
        async with open_client("dynamodb", connection, attempts=1) as client:
            answer = await client.describe_continuous_backups(TableName=table)
            recovery = recovery_of(dict(answer))
    except FAILURES as error:
        return [finding_of(where, translate(error))]
    except ReplicatorError as error:
        return [finding_of(where, error)]
    if recovery is not None:
        return []
    return [
        Finding(
            "warning",
            where,
            "point-in-time recovery is off, which exports to S3 need",
            "turn it on, with `aws dynamodb update-continuous-backups`; its price in us-east-1 is "
            f"about {recovery_cost(size_bytes):.2f} USD a month for this table",
        )
    ]


async def _check_source(
    table: SourceTable, client: "DynamoDBClient", streams: "DynamoDBStreamsClient"
) -> CheckedSource:
    where = _where(table)
    try:
        description = await describe_table(client, table.table)
    except ReplicatorError as error:
        return CheckedSource(None, (finding_of(where, error),))
    if table.kinesis is not None:
        found = await check_destination(where, client, description, table.kinesis, table.connection)
        return CheckedSource(description, tuple(found))
    try:
        stream_arn = require_fit_stream(description)
        await _read_a_little(streams, stream_arn)
    except ReplicatorError as error:
        return CheckedSource(description, (finding_of(where, error),))
    return CheckedSource(description, ())


async def _read_a_little(client: "DynamoDBStreamsClient", stream_arn: str) -> None:
    """Try each right that reading takes; what a shard may answer otherwise is no finding."""
    try:
        stream = await client.describe_stream(StreamArn=stream_arn)
        shards = stream["StreamDescription"].get("Shards", [])
        if not shards:
            return
        iterator = await client.get_shard_iterator(
            StreamArn=stream_arn, ShardId=shards[-1]["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        await client.get_records(ShardIterator=iterator["ShardIterator"], Limit=1)
    except FAILURES as error:
        failure = translate(error)
        if isinstance(failure, SourceDenied | StreamUnfit):
            raise failure from error


def _wrong_shape(where: str, description: TableDescription) -> Finding:
    key = ", ".join(f"{name} ({kind})" for name, kind in description.key.attributes)
    return Finding(
        "error",
        where,
        f"has the key {key} instead of {LEASE_KEY} (S): it is not a lease table",
        "name another table in coordination.table; one that does not exist is created",
    )


async def _other_readers(
    client: "DynamoDBClient", name: str, deployment: str, streams: Mapping[str, str]
) -> list[Finding]:
    readers: dict[str, set[str]] = {}
    for lease in await _leases(client, name):
        key = lease.get(LEASE_KEY, {}).get("S", "")
        other, _, rest = key.partition(":")
        stream_arn = rest.rpartition(":")[0]
        owned = lease.get("leaseOwner", {}).get("S")
        if other != deployment and owned and stream_arn in streams:
            readers.setdefault(stream_arn, set()).add(other)
    return [
        Finding(
            "warning" if len(others) < READERS_MAX else "error",
            f"table {streams[stream_arn]}",
            f"its stream is read by {', '.join(map(repr, sorted(others)))} too; "
            f"AWS allows {READERS_MAX} readers of a shard at a time",
            "stop the ones that are not needed, or expect throttling",
        )
        for stream_arn, others in sorted(readers.items())
    ]


async def _leases(client: "DynamoDBClient", name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    start: dict[str, Any] = {}
    for _ in range(LEASE_PAGES_MAX):
        try:
            page = await client.scan(
                TableName=name, ProjectionExpression=f"{LEASE_KEY}, leaseOwner", **start
            )
        except FAILURES as error:
            raise translate(error) from error
        found += page["Items"]
        if not page.get("LastEvaluatedKey"):
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    return found


def _where(table: SourceTable) -> str:
    return f"table {table.name}"
