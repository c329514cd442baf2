"""Clients of AWS: credentials, endpoints, timeouts."""

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, overload

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.credentials import (
    AioAssumeRoleCredentialFetcher,
    AioCredentialResolver,
    AioDeferredRefreshableCredentials,
)
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession, get_session
from botocore.credentials import CredentialProvider
from botocore.exceptions import NoCredentialsError
from botocore.loaders import Loader, create_loader

from replicator import __version__
from replicator.aws.error_translation import FAILURES, translate
from replicator.aws.source_connection import SourceConnection, endpoint_of, region_of
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient

SessionFactory = Callable[..., AIOHTTPSession]
Service = Literal[
    "dynamodb", "dynamodbstreams", "kinesis", "lambda", "s3", "secretsmanager", "ssm", "rds", "sns"
]
CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
CONNECTIONS_MAX = 64  # of one client: one for every shard that is read at a moment
ATTEMPTS = {"dynamodbstreams": 1, "kinesis": 1}  # their retries are the reader's own
ATTEMPTS_ELSEWHERE = 3
# what fails is raised and said once; without handlers Python would print the SDK's tracebacks
for _logger in ("aiobotocore", "botocore"):
    logging.getLogger(_logger).addHandler(logging.NullHandler())


@overload
@asynccontextmanager
def open_client(
    service: Literal["dynamodb"], connection: SourceConnection, *, attempts: int | None = None
) -> AsyncIterator["DynamoDBClient"]: ...
@overload
@asynccontextmanager
def open_client(
    service: Literal["dynamodbstreams"],
    connection: SourceConnection,
    *,
    attempts: int | None = None,
    connections: SessionFactory = AIOHTTPSession,
) -> AsyncIterator["DynamoDBStreamsClient"]: ...
@overload
@asynccontextmanager
def open_client(
    service: Literal["kinesis"],
    connection: SourceConnection,
    *,
    attempts: int | None = None,
    connections: SessionFactory = AIOHTTPSession,
) -> AsyncIterator[Any]: ...
@overload
@asynccontextmanager
def open_client(
    service: Literal["lambda", "s3", "secretsmanager", "ssm", "rds", "sns"],
    connection: SourceConnection,
    *,
    attempts: int | None = None,
) -> AsyncIterator[Any]: ...
@asynccontextmanager
async def open_client(
    service: Service,
    connection: SourceConnection,
    *,
    attempts: int | None = None,
    connections: SessionFactory = AIOHTTPSession,
) -> AsyncIterator[Any]:
    """A client, closed at the end; what keeps it from existing is raised as a ReplicatorError.

    Errors of the calls are the caller's to translate (`error_translation.translate`).
    """
    try:
        client = aioboto3.Session(
            region_name=region_of(connection, os.environ), botocore_session=_session(connection)
        ).client(
            service,
            endpoint_url=endpoint_of(service, connection, os.environ),
            config=_config(
                attempts or ATTEMPTS.get(service, ATTEMPTS_ELSEWHERE), connections=connections
            ),
        )
        opened = await client.__aenter__()
    except (*FAILURES, ValueError) as error:
        raise _not_opened(error, connection) from error
    try:
        yield opened
    finally:
        await client.__aexit__(None, None, None)


def _config(attempts: int, *, connections: SessionFactory) -> AioConfig:
    return AioConfig(
        http_session_cls=connections,  # type: ignore[arg-type]  # whatever makes one
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        max_pool_connections=CONNECTIONS_MAX,
        tcp_keepalive=True,
        user_agent=_user_agent(),
    )


@cache
def _user_agent() -> str:
    """The user agent of replicator and of the SDK, which is told by a session."""
    return f"replicator/{__version__} {get_session().user_agent()} app/replicator"


def _not_opened(error: Exception, connection: SourceConnection) -> Exception:
    if isinstance(error, FAILURES):
        return translate(error)
    # botocore's word for an endpoint it cannot read
    named = (
        connection.streams_endpoint_url,
        connection.secrets_endpoint_url,
        connection.s3_endpoint_url,
        connection.kinesis_endpoint_url,
        connection.endpoint_url,
    )
    endpoints = "".join(f" {url!r}" for url in named if url is not None)
    message = f"the endpoint{endpoints} or the region is not a valid one"
    return ConfigurationError(message, remedy="write endpoint_url as http://host:port, or null")


def _session(connection: SourceConnection) -> AioSession:
    session = get_session()
    session.register_component("data_loader", _models(session.get_config_variable("data_path")))
    if connection.role_arn is not None:
        role = _AssumedRole(connection.role_arn, connection)
        session.register_component("credential_provider", AioCredentialResolver([role]))
    return session


@cache
def _models(path: str | None) -> Loader:
    """The SDK's descriptions of services: 8 MB of a process for each client that reads its own."""
    return create_loader(path)


class _AssumedRole(CredentialProvider):
    """Credentials of a role, fetched when first needed and renewed before they expire."""

    METHOD = "assume-role"

    def __init__(self, role_arn: str, connection: SourceConnection) -> None:
        super().__init__()
        self._role_arn = role_arn
        self._connection = connection

    async def load(self) -> AioDeferredRefreshableCredentials:  # awaited by its caller
        own = get_session()
        region = region_of(self._connection, os.environ)
        if region is not None:
            own.set_config_variable("region", region)
        credentials = await own.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        arguments = {"RoleSessionName": "replicator"}
        if self._connection.external_id is not None:
            arguments["ExternalId"] = self._connection.external_id
        create_client: Any = own.create_client  # the stubs want the blocking one
        if self._connection.sts_endpoint_url is not None:
            create_client = partial(create_client, endpoint_url=self._connection.sts_endpoint_url)
        fetcher = AioAssumeRoleCredentialFetcher(
            create_client,
            credentials,
            self._role_arn,
            extra_args=arguments,
        )
        return AioDeferredRefreshableCredentials(
            method=self.METHOD, refresh_using=fetcher.fetch_credentials
        )
