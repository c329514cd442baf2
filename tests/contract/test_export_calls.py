"""DynamoDB's calls about exports: the service of the tests answers them as an emulator does.

No emulator writes the files; what is read of them is tested on the files that the tests write.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from replicator.aws.source_connection import ExportDestination
from replicator.core.snapshot.export_windows import Window
from replicator.core.telemetry_events import unobserved
from replicator.errors import ExportUnfit, StreamVanished
from replicator.sources.dynamodb.s3_exports import TableExports
from tests.support import endpoints
from tests.support.exports import BUCKET, ExportService, TableLog, bucket_client, export_service

NOW = datetime.now(UTC).replace(microsecond=0)
DESTINATION = ExportDestination(bucket=BUCKET, prefix="some/where")
End = Literal["tests", "emulator"]

pytestmark = pytest.mark.parametrize("dynamodb_endpoint", endpoints.NAMES[:1], indirect=True)


@dataclass
class Asked:
    """A table with a stream, what asks for its exports, and the client that does."""

    exports: TableExports
    client: Any
    table: str
    end: End
    service: ExportService

    async def recover(self) -> None:
        """Turn point-in-time recovery on."""
        specification = {"PointInTimeRecoveryEnabled": True}
        await self.client.update_continuous_backups(
            TableName=self.table, PointInTimeRecoverySpecification=specification
        )


@asynccontextmanager
async def asked(end: End, url: str, table: str, *, recovery: bool) -> AsyncIterator[Asked]:
    async with endpoints.dynamodb_client(url) as direct, bucket_client(url) as s3:
        await endpoints.create_table(direct, table)
        described = await direct.describe_table(TableName=table)
        service = ExportService(s3, TableLog(), described["Table"]["TableArn"], recovery=recovery)
        async with (
            export_service(url, lambda: service) as proxy,
            endpoints.dynamodb_client(proxy if end == "tests" else url) as client,
        ):
            exports = TableExports(client, s3, DESTINATION, unobserved, table=table)
            found = Asked(exports, client, table, end, service)
            if recovery:
                await found.recover()
            yield found


@pytest.fixture(params=["tests", "emulator"])
def end(request: pytest.FixtureRequest) -> End:
    found: End = request.param
    return found


async def test_times_that_a_table_can_be_restored_to(
    end: End, dynamodb_endpoint: str, table_name: str
):
    async with asked(end, dynamodb_endpoint, table_name, recovery=False) as off:
        assert await off.exports.recovery() is None
    async with asked(end, dynamodb_endpoint, f"{table_name}-on", recovery=True) as on:
        found = await on.exports.recovery()

    assert found is not None
    assert found.earliest <= found.latest
    assert abs(found.asked_at - datetime.now(UTC)) < timedelta(minutes=5)


@pytest.mark.parametrize("wanted", [NOW, Window(NOW - timedelta(hours=1), NOW)])
async def test_a_token_is_one_export_however_often_it_is_asked_for(
    end: End, dynamodb_endpoint: str, table_name: str, wanted: datetime | Window
):
    async with asked(end, dynamodb_endpoint, table_name, recovery=True) as it:
        arn = await it.exports.table_arn()
        token, other = str(uuid4()), str(uuid4())

        found = [await it.exports.ask(wanted, token=each) for each in (token, token, other)]

        assert found[0] == found[1] != found[2]
        assert all(each.startswith(f"{arn}/export/") for each in found)
        assert await it.exports.complete(found[0]) is None


async def test_an_export_that_nobody_made(end: End, dynamodb_endpoint: str, table_name: str):
    async with asked(end, dynamodb_endpoint, table_name, recovery=True) as it:
        arn = await it.exports.table_arn()
        with pytest.raises(ExportUnfit, match="ExportNotFound"):
            await it.exports.complete(f"{arn}/export/01693685827463-00000000")


@pytest.mark.parametrize(
    "refusal",
    [
        "PointInTimeRecoveryUnavailableException",
        "InvalidExportTimeException",
        "ExportConflictException",
        "ValidationException",  # a bucket that is none, say
    ],
)
async def test_a_wish_that_stays_refused_is_for_a_person(
    dynamodb_endpoint: str, table_name: str, refusal: str
):
    async with asked("tests", dynamodb_endpoint, table_name, recovery=True) as it:
        it.service.refusal = refusal
        with pytest.raises(ExportUnfit, match=refusal):
            await it.exports.ask(NOW, token=str(uuid4()))


async def test_a_table_that_is_not_there(end: End, dynamodb_endpoint: str, table_name: str):
    async with asked(end, dynamodb_endpoint, table_name, recovery=True) as it:
        await it.client.delete_table(TableName=table_name)
        with pytest.raises(StreamVanished):
            await it.exports.ask(NOW, token=str(uuid4()))


@dataclass
class Bucket:
    """An S3 that has no object, and knows what it was asked."""

    asked: list[dict[str, Any]] = field(default_factory=list)

    async def get_object(self, **asked: Any) -> None:
        self.asked.append(asked)
        raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")


async def test_the_owner_of_the_bucket_and_the_key_are_named(
    dynamodb_endpoint: str, table_name: str
):
    destination = ExportDestination(BUCKET, None, bucket_owner="111122223333", kms_key="key")
    answers = Recorder()
    async with (
        endpoints.dynamodb_client(dynamodb_endpoint) as direct,
        export_service(dynamodb_endpoint, lambda: answers) as proxy,
        endpoints.dynamodb_client(proxy) as client,
    ):
        await endpoints.create_table(direct, table_name)
        bucket = Bucket()
        exports = TableExports(client, bucket, destination, unobserved, table=table_name)

        arn = await exports.ask(NOW, token=str(uuid4()))
        with pytest.raises(ExportUnfit, match="does not hold"):
            await exports.complete(arn)

    [asked] = answers.asked
    assert (asked["S3BucketOwner"], asked["S3SseAlgorithm"]) == ("111122223333", "KMS")
    assert asked["S3SseKmsKeyId"] == "key"
    assert "S3Prefix" not in asked
    assert [each["ExpectedBucketOwner"] for each in bucket.asked] == ["111122223333"]


@dataclass
class Recorder:
    """Answers with an export that is complete, and keeps the wish."""

    asked: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, operation: str, wanted: dict[str, Any]) -> dict[str, Any] | None:
        description = {
            "ExportArn": "arn:aws:dynamodb:us-east-1:111122223333:table/orders/export/1",
            "ExportStatus": "COMPLETED",
            "ExportManifest": "AWSDynamoDB/1/manifest-summary.json",
            "S3Bucket": BUCKET,
        }
        if operation == "ExportTableToPointInTime":
            self.asked.append(wanted)
        elif operation != "DescribeExport":
            return None
        return {"ExportDescription": description}
