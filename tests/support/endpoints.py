"""Which DynamoDB APIs the tests run against, and clients of them."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import aioboto3
from aiobotocore.config import AioConfig

from replicator.demo.embedded_servers import embedded_dynamodb
from tests.support.bounds import USUAL_SECONDS
from tests.support.dynamodb_local import dynamodb_local
from tests.support.ministack import MinistackMissing, missing_ministack

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient

GIVEN = os.environ.get("REPLICATOR_TEST_DYNAMODB_URL")
NAMES = ("given",) if GIVEN else ("ministack", "dynamodb-local")
CONFIG = AioConfig(
    connect_timeout=USUAL_SECONDS, read_timeout=USUAL_SECONDS, retries={"total_max_attempts": 3}
)


@contextmanager
def endpoint(name: str) -> Iterator[str]:
    """The URL of a running DynamoDB API, one of NAMES."""
    match name:
        case "ministack":
            if missing := missing_ministack():
                raise MinistackMissing(missing)
            with embedded_dynamodb() as url:
                yield url
        case "dynamodb-local":
            with dynamodb_local() as url:
                yield url
        case _:
            assert GIVEN is not None
            yield GIVEN


@asynccontextmanager
async def dynamodb_client(url: str) -> "AsyncIterator[DynamoDBClient]":
    """A client for items and tables."""
    async with _session().client("dynamodb", endpoint_url=url, config=CONFIG) as client:
        yield client


@asynccontextmanager
async def streams_client(url: str) -> "AsyncIterator[DynamoDBStreamsClient]":
    """A client for streams."""
    async with _session().client("dynamodbstreams", endpoint_url=url, config=CONFIG) as client:
        yield client


@asynccontextmanager
async def sns_client(url: str) -> AsyncIterator[Any]:
    """A client for topics of SNS."""
    async with _session().client("sns", endpoint_url=url, config=CONFIG) as client:
        yield client


@cache
def _session() -> aioboto3.Session:
    """One for all tests: a new one reads the descriptions of services for a tenth of a second."""
    return aioboto3.Session()


async def table_names(client: "DynamoDBClient") -> list[str]:
    """Every table of the endpoint, of whichever test: they are often more than one page lists."""
    pages = client.get_paginator("list_tables").paginate()
    return [name async for page in pages for name in page["TableNames"]]


async def create_table(client: "DynamoDBClient", name: str, *, view: str | None = None) -> str:
    """Create a table with the key `pk` (S) and a stream; return the ARN of the stream.

    `view` is the stream view type, NEW_AND_OLD_IMAGES unless said otherwise.
    """
    created = await client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={
            "StreamEnabled": True,
            "StreamViewType": view or "NEW_AND_OLD_IMAGES",  # type: ignore[typeddict-item]
        },
    )
    return created["TableDescription"]["LatestStreamArn"]
