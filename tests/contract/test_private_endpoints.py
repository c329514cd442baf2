"""Each service at an endpoint of its own, as PrivateLink has them, said by the configuration."""

import pytest

from replicator.aws.client_factory import open_client
from replicator.aws.secrets import parameter_password, secret_password
from replicator.aws.source_connection import SourceConnection, endpoint_of
from replicator.config.connection_parameters import source_connection
from replicator.config.source_settings import SourceSettings
from replicator.errors import ReplicatorError

ROLE = "arn:aws:iam::000000000000:role/replicator"
NOWHERE = "http://127.0.0.1:1"
TABLES = "https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com"
STREAMS = "https://vpce-2.streams.dynamodb.eu-west-1.vpce.amazonaws.com"

pytestmark = pytest.mark.dynamodb


@pytest.mark.parametrize(
    ("said", "tables", "streams"),
    [
        ({"endpoint_url": TABLES}, TABLES, None),
        ({"endpoint_url": STREAMS}, None, STREAMS),
        ({"streams_endpoint_url": STREAMS}, None, STREAMS),
        ({"endpoint_url": TABLES, "streams_endpoint_url": STREAMS}, TABLES, STREAMS),
        ({"endpoint_url": NOWHERE}, NOWHERE, NOWHERE),
    ],
)
def test_an_endpoint_of_privatelink_is_used_for_its_own_service(said, tables, streams):
    place = source_connection(SourceSettings.model_validate(said))

    assert endpoint_of("dynamodb", place, {}) == tables
    assert endpoint_of("dynamodbstreams", place, {}) == streams
    for other in ("lambda", "rds", "secretsmanager", "ssm"):
        assert endpoint_of(other, place, {}) is None


async def test_streams_and_sts_are_asked_where_the_configuration_says(ministack: str):
    place = SourceSettings(
        region="us-east-1",
        endpoint_url=NOWHERE,
        streams_endpoint_url=ministack,
        sts_endpoint_url=ministack,
        role_arn=ROLE,
    )

    async with open_client("dynamodbstreams", source_connection(place)) as streams:
        answer = await streams.list_streams()

    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200

    elsewhere = place.model_copy(update={"sts_endpoint_url": NOWHERE})
    async with open_client("dynamodbstreams", source_connection(elsewhere)) as streams:
        with pytest.raises(Exception, match=NOWHERE):
            await streams.list_streams()


async def test_a_password_is_read_where_the_configuration_says(
    ministack: str, monkeypatch: pytest.MonkeyPatch
):
    place = SourceConnection("us-east-1", secrets_endpoint_url=ministack)
    async with open_client("secretsmanager", place) as client:
        secret = await client.create_secret(Name="of-an-endpoint", SecretString="of a secret")
    async with open_client("ssm", place) as client:
        await client.put_parameter(
            Name="/of-an-endpoint", Value="of a parameter", Type="SecureString"
        )
    parameter = "arn:aws:ssm:us-east-1:000000000000:parameter/of-an-endpoint"

    assert await secret_password(secret["ARN"], ministack)() == "of a secret"
    assert await parameter_password(parameter, ministack)() == "of a parameter"
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOWHERE)
    assert await secret_password(secret["ARN"], ministack)() == "of a secret"
    with pytest.raises(ReplicatorError):
        await secret_password(secret["ARN"], None)()
