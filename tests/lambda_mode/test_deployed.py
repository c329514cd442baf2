"""The zip as it is deployed, with an emulator of Lambda and its event source mapping."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from replicator.demo.embedded_servers import embedded_dynamodb
from tests.deploy.test_lambda import package
from tests.support.endpoints import create_table, dynamodb_client
from tests.support.lambda_function import LambdaTable
from tests.support.waiting import eventually

__all__ = ["package"]  # a fixture

RUNTIME = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The emulator runs functions with its own Python."""


async def deployed(url: str, archive: bytes) -> None:
    """The function, the table, and the mapping of its stream."""
    import aioboto3  # noqa: PLC0415 (untyped)

    async with aioboto3.Session().client("lambda", endpoint_url=url) as client:
        await client.create_function(
            FunctionName="orders",
            Runtime=f"python{RUNTIME}",
            Role="arn:aws:iam::000000000000:role/orders",
            Handler="replicator.lambda_handler.handler",
            Code={"ZipFile": archive},
            Timeout=60,
            Environment={"Variables": {"REPLICATOR_CONFIG": "replicator.yaml"}},
        )
        async with dynamodb_client(url) as tables:
            arn = await create_table(tables, "orders")
        await client.create_event_source_mapping(
            FunctionName="orders",
            EventSourceArn=arn,
            StartingPosition="TRIM_HORIZON",
            BatchSize=100,
            FunctionResponseTypes=["ReportBatchItemFailures"],
        )


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
def test_items_that_are_written_appear_as_rows(
    table: LambdaTable, package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(package, "PYTHON", RUNTIME)
    archive = package.build("x86_64", tmp_path / "package", table.file).read_bytes()

    async def write_and_wait(url: str) -> None:
        await deployed(url, archive)
        async with dynamodb_client(url) as client:
            for number in range(20):
                item = {"pk": {"S": f"k{number % 7}"}, "n": {"N": str(number)}}
                await client.put_item(TableName="orders", Item=item)
            await client.delete_item(TableName="orders", Key={"pk": {"S": "k0"}})

        async def equal() -> bool:
            rows = await asyncio.to_thread(table.rows)
            return rows == {"k1": 15, "k2": 16, "k3": 17, "k4": 18, "k5": 19, "k6": 13}

        await eventually(equal, what="the rows equal the items")

    with embedded_dynamodb() as url:
        asyncio.run(write_and_wait(url))
