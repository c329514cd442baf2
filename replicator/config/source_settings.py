"""A place in AWS, and the identity that is used there."""

from pydantic import Field

from replicator.config.settings_base import Group
from replicator.core.stream.decoding.kinesis_records import Base64

ENDPOINT = r"^https?://\S+$"
KINESIS_ARN = r"^arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]{1,128}$"
ROLE_ARN = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$"


class SourceSettings(Group):
    """A place in AWS; what is not said follows the AWS SDK's own chain."""

    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$", examples=["eu-west-1"])
    """The AWS region."""
    endpoint_url: str | None = Field(
        default=None, pattern=ENDPOINT, examples=["http://127.0.0.1:8000"]
    )
    """Another endpoint, for DynamoDB Local and the like, which serve tables and streams at one
    address, or of PrivateLink for tables; `AWS_ENDPOINT_URL_DYNAMODB` works too."""
    streams_endpoint_url: str | None = Field(
        default=None,
        pattern=ENDPOINT,
        examples=["https://vpce-0a1b.streams.dynamodb.eu-west-1.vpce.amazonaws.com"],
    )
    """Another endpoint for streams alone; default: `endpoint_url` unless that is one of AWS's."""
    sts_endpoint_url: str | None = Field(
        default=None,
        pattern=ENDPOINT,
        examples=["https://vpce-0a1b.sts.eu-west-1.vpce.amazonaws.com"],
    )
    """Another endpoint for assuming `role_arn`."""
    role_arn: str | None = Field(
        default=None, pattern=ROLE_ARN, examples=["arn:aws:iam::123456789012:role/replicator"]
    )
    """A role to assume."""
    external_id: str | None = Field(default=None, min_length=2, max_length=1224)
    """The external id that the role asks for."""

    def below(self, default: "SourceSettings") -> "SourceSettings":
        """The place, with missing settings taken from the default."""
        said = {name: getattr(self, name) for name in SourceSettings.model_fields}
        return default.model_copy(
            update={name: value for name, value in said.items() if name in self.model_fields_set}
        )


class TableSourceSettings(SourceSettings):
    """A place of one table, and what the changes are read from."""

    kinesis: str | None = Field(
        default=None,
        pattern=KINESIS_ARN,
        examples=["arn:aws:kinesis:eu-west-1:123456789012:stream/changes"],
    )
    """The Kinesis stream that the table publishes the changes to, by its ARN: it is read in place
    of DynamoDB Streams (see operations/kinesis.md). Several tables may share one."""
    kinesis_endpoint_url: str | None = Field(
        default=None,
        pattern=ENDPOINT,
        examples=["https://vpce-0a1b.kinesis-streams.eu-west-1.vpce.amazonaws.com"],
    )
    """Another endpoint of Kinesis; `endpoint_url` is never used for it."""
    kinesis_base64: Base64 = "twice"
    """Number of encodings of binary values in the records of the Kinesis stream: AWS encodes twice,
    emulators `once`."""
