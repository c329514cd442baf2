"""Place and identity in AWS: regions and endpoints, without a client and without the SDK."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

_DATABASE_ONLY = ("dynamodb", "dynamodbstreams")
_ENDPOINT_VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_DYNAMODB_STREAMS",
)


@dataclass(frozen=True, slots=True)
class SourceConnection:
    """Region, endpoint and role in AWS; None leaves the choice to the AWS SDK's own chain.

    `endpoint_url` is for tables, and for streams where the endpoint is not one of AWS's own; the
    other endpoints are each for the service of their name.
    """

    region: str | None = None
    endpoint_url: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    streams_endpoint_url: str | None = None
    sts_endpoint_url: str | None = None
    secrets_endpoint_url: str | None = None
    topic_endpoint_url: str | None = None
    s3_endpoint_url: str | None = None
    kinesis_endpoint_url: str | None = None


@dataclass(frozen=True, slots=True)
class ExportDestination:
    """Bucket and prefix of exports that are asked for; `bucket` None: none can be."""

    bucket: str | None
    prefix: str | None = None
    bucket_owner: str | None = None
    kms_key: str | None = None


def connection_for(table: str, connection: SourceConnection) -> SourceConnection:
    """The connection for a table; the table's ARN names the region where no setting does."""
    parts = table.split(":")
    if connection.region is None and table.startswith("arn:") and len(parts) > 5:
        return replace(connection, region=parts[3])
    return connection


def kinesis_place(kinesis_arn: str, connection: SourceConnection) -> SourceConnection:
    """The connection for a Kinesis stream: the region is the ARN's, the identity the table's."""
    return replace(connection, region=kinesis_arn.split(":")[3])


def region_of(connection: SourceConnection, environment: Mapping[str, str]) -> str | None:
    """The region as configured, else of AWS_REGION, which this SDK does not read by itself."""
    return connection.region or environment.get("AWS_REGION") or None


def is_aws(connection: SourceConnection, environment: Mapping[str, str]) -> bool:
    """True when AWS itself is spoken to, and no emulator of one of its services."""
    named = (connection.endpoint_url, *map(environment.get, _ENDPOINT_VARIABLES))
    return all(_is_aws_host(urlsplit(url).hostname or "") for url in named if url)


def endpoint_of(
    service: str, connection: SourceConnection, environment: Mapping[str, str]
) -> str | None:
    """The endpoint for one service; None leaves it to the SDK.

    An emulator serves tables and streams at one address, AWS does not: an address of AWS's own
    for one of the two is never used for the other.
    """
    if service in ("secretsmanager", "ssm"):
        return connection.secrets_endpoint_url
    if service == "sns":
        return connection.topic_endpoint_url
    if service == "s3":
        return connection.s3_endpoint_url
    if service == "kinesis":
        return connection.kinesis_endpoint_url
    if service == "dynamodbstreams" and connection.streams_endpoint_url is not None:
        return connection.streams_endpoint_url
    if service not in _DATABASE_ONLY:
        return None
    own = {"dynamodb": "AWS_ENDPOINT_URL_DYNAMODB"}.get(
        service, "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"
    )
    if connection.endpoint_url is not None:
        url: str | None = connection.endpoint_url
    elif environment.get(own) or environment.get("AWS_ENDPOINT_URL"):
        return None
    else:
        url = environment.get("AWS_ENDPOINT_URL_DYNAMODB")
    host = urlsplit(url).hostname or "" if url else ""
    if _is_aws_host(host):
        streams = "streams" in host.split(".")
        return url if streams == (service == "dynamodbstreams") else None
    return url or None


def _is_aws_host(host: str) -> bool:
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
