"""Secrets that AWS keeps or makes: passwords in the two stores, tokens of RDS IAM."""

import re
from collections.abc import Awaitable, Callable

from replicator.aws.client_factory import open_client
from replicator.aws.error_translation import FAILURES, translate
from replicator.aws.secret_parsing import password_in
from replicator.aws.source_connection import SourceConnection

_REGION_OF_HOST = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.rds\.amazonaws\.com")


def secret_password(arn: str, endpoint_url: str | None) -> Callable[[], Awaitable[str]]:
    """Reads the password in a secret: the text, or `password` of the JSON object that RDS keeps."""

    async def read() -> str:
        place = SourceConnection(region=arn.split(":")[3], secrets_endpoint_url=endpoint_url)
        async with open_client("secretsmanager", place) as client:
            try:
                answer = await client.get_secret_value(SecretId=arn)
            except FAILURES as error:
                raise translate(error) from error
        return password_in(answer.get("SecretString") or "", arn)

    return read


def parameter_password(arn: str, endpoint_url: str | None) -> Callable[[], Awaitable[str]]:
    """Reads the password in a parameter of Systems Manager."""

    async def read() -> str:
        place = SourceConnection(region=arn.split(":")[3], secrets_endpoint_url=endpoint_url)
        async with open_client("ssm", place) as client:
            try:
                answer = await client.get_parameter(Name=arn, WithDecryption=True)
            except FAILURES as error:
                raise translate(error) from error
        return password_in(answer["Parameter"]["Value"], arn)

    return read


def rds_token(region: str | None) -> Callable[[str, int, str], Awaitable[str]]:
    """Makes tokens of RDS IAM; `region` None: the one that the host's name tells, or the SDK's."""

    async def make(host: str, port: int, user: str) -> str:
        found = _REGION_OF_HOST.search(host)
        place = SourceConnection(region=found[1] if found else region)
        async with open_client("rds", place) as client:
            try:
                token: str = await client.generate_db_auth_token(
                    DBHostname=host, Port=port, DBUsername=user
                )
            except FAILURES as error:
                raise translate(error) from error
        return token

    return make
