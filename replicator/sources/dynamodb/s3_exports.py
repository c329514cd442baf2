"""Exports of one table to S3: asked for in DynamoDB, read from the bucket, never held whole."""

import json
import zlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from hashlib import md5
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from replicator.aws.error_translation import FAILURES, code_of, translate
from replicator.aws.observed_calls import Calls, date_of
from replicator.aws.source_connection import ExportDestination
from replicator.core.snapshot.export_manifest import (
    FORMAT,
    INCREMENTAL,
    DataFile,
    ExportSummary,
    read_files,
    read_summary,
    require_checksum,
    require_file,
)
from replicator.core.snapshot.export_windows import Recovery, Window
from replicator.core.telemetry_events import Observe, SourceAnswered, unobserved
from replicator.errors import ExportUnfit, SourceUnavailable
from replicator.sources.dynamodb.describe_table import describe_table

if TYPE_CHECKING:
    from aiobotocore.response import StreamingBody
    from types_aiobotocore_dynamodb import DynamoDBClient

T = TypeVar("T")

READ_BYTES = 256 * 1024
INFLATED_BYTES_MAX = 1024 * 1024
"""Bytes that one step unpacks: a file of one repeated line unpacks to a thousand times the size."""
GZIP = zlib.MAX_WBITS | 16
MANIFEST_BYTES_MAX = 256 * 1024 * 1024
_ABSENT = ("NoSuchKey", "NoSuchBucket", "404")
_UNFIT = (
    "ExportConflictException",
    "ExportNotFoundException",
    "InvalidExportTimeException",
    "PointInTimeRecoveryUnavailableException",
    "ValidationException",
)
"""Answers that stay the same however often the export is asked for."""
_FILE_REMEDY = "ask for a new export"


class TableExports:
    """Exports of one table, `table` being the name or ARN; calls are not repeated.

    SourceUnavailable, SourceDenied, SourceThrottled; ExportUnfit for what no retry fixes.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        s3: object,
        destination: ExportDestination,
        observe: Observe,
        *,
        table: str,
    ) -> None:
        self._client = client
        self._s3: Any = s3  # its operations are made at run time
        self._destination = destination
        self._observe = observe
        self._table = table
        self._calls = Calls(observe)

    async def table_arn(self) -> str:
        """The table's ARN."""
        return (await describe_table(self._client, self._table)).table_arn

    async def recovery(self) -> Recovery | None:
        """Times that the table can be exported of; None: point-in-time recovery is off."""
        return await self._calls.make(
            "DescribeContinuousBackups",
            self._client.describe_continuous_backups,
            recovery_of,
            TableName=self._table,
        )

    async def now(self) -> datetime:
        """The source's time, as told with the answer to a request that is made now."""
        return await self._calls.make(
            "DescribeTable", self._client.describe_table, _required_date, TableName=self._table
        )

    async def ask(self, wanted: datetime | Window, *, token: str) -> str:
        """Ask for an export of the table at a time, or of a window's changes; returns the export's
        ARN.

        The same token with the same wish is the same export, for eight hours.
        """
        destination = self._destination
        if destination.bucket is None:
            message = "no bucket is configured that exports could be written to"
            raise ExportUnfit(message, remedy="set export.bucket, or give an export that exists")
        arguments: dict[str, Any] = {
            "TableArn": await self.table_arn(),
            "S3Bucket": destination.bucket,
            "ExportFormat": FORMAT,
            "ClientToken": token,
        }
        if destination.prefix is not None:
            arguments["S3Prefix"] = destination.prefix
        if destination.bucket_owner is not None:
            arguments["S3BucketOwner"] = destination.bucket_owner
        if destination.kms_key is not None:
            arguments |= {"S3SseAlgorithm": "KMS", "S3SseKmsKeyId": destination.kms_key}
        if isinstance(wanted, Window):
            arguments["ExportType"] = INCREMENTAL
            arguments["IncrementalExportSpecification"] = {
                "ExportFromTime": wanted.since,
                "ExportToTime": wanted.until,
                "ExportViewType": "NEW_AND_OLD_IMAGES",
            }
        else:
            arguments["ExportTime"] = wanted
        method = self._client.export_table_to_point_in_time
        return await self._make("ExportTableToPointInTime", method, _arn, **arguments)

    async def complete(self, arn: str) -> tuple[str, str] | None:
        """Bucket and key of a complete export's summary; None while the export is being made."""
        method = self._client.describe_export
        told = await self._make("DescribeExport", method, _description, ExportArn=arn)
        status = told["ExportStatus"]
        if status == "IN_PROGRESS":
            return None
        if status != "COMPLETED":
            why = f"{told.get('FailureCode')}: {told.get('FailureMessage')}"
            message = f"DynamoDB could not make the export {arn}: {why}"
            raise ExportUnfit(message, remedy="fix that, cancel, and ask again")
        bucket, manifest = told["S3Bucket"], told["ExportManifest"]
        folder = f"{told['S3Prefix']}/" if told.get("S3Prefix") else ""
        inside = manifest if manifest.startswith(folder) else folder + manifest
        for key in dict.fromkeys((inside, manifest)):
            if await self._whole(bucket, key) is not None:
                return bucket, key
        message = f"the bucket {bucket} does not hold {manifest}, the manifest of {arn}"
        raise ExportUnfit(message, remedy=_FILE_REMEDY)

    async def summary(self, bucket: str, key: str) -> ExportSummary:
        """The summary of an export, the checksum verified where there is one; ExportUnfit."""
        return read_summary(await self._manifest(bucket, key))

    async def files(self, summary: ExportSummary) -> list[DataFile]:
        """The data files of an export; the files' counts add up to the summary's."""
        return read_files(await self._manifest(summary.bucket, summary.files_key), summary)

    async def verify(self, bucket: str, file: DataFile, *, live: Callable[[], None]) -> None:
        """Read a file to the end, and compare checksum and number of lines; ExportUnfit."""
        digest = md5(usedforsecurity=False)
        lines = 0
        async with aclosing(self._lines(bucket, file, digest.update)) as found:
            async for some in found:
                lines += len(some)
                live()
        require_file(file, lines=lines, digest=digest.digest())

    def lines(self, bucket: str, file: DataFile) -> AsyncGenerator[list[bytes]]:
        """The lines of a file, some at a time."""
        return self._lines(bucket, file, unobserved)

    async def _lines(
        self, bucket: str, file: DataFile, read: Callable[[bytes], object]
    ) -> AsyncGenerator[list[bytes]]:
        rest = b""
        async with aclosing(self._inflated(bucket, file, read)) as found:
            async for text in found:
                *lines, rest = (rest + text).split(b"\n")
                if lines := [line for line in lines if line]:
                    yield lines
        if rest:
            yield [rest]

    async def _inflated(
        self, bucket: str, file: DataFile, read: Callable[[bytes], object]
    ) -> AsyncGenerator[bytes]:
        """The content of a gzip file, which may be several after one another; ExportUnfit."""
        inflate = zlib.decompressobj(wbits=GZIP)
        ended = True
        async with aclosing(self._bytes(bucket, file.key)) as found:
            async for chunk in found:
                read(chunk)
                left = chunk
                while left:
                    if inflate.eof:
                        inflate = zlib.decompressobj(wbits=GZIP)
                    try:
                        text = inflate.decompress(left, INFLATED_BYTES_MAX)
                    except zlib.error as error:
                        message = f"the file {file.key} is not whole: {error}"
                        raise ExportUnfit(message, remedy=_FILE_REMEDY) from error
                    left = inflate.unconsumed_tail or inflate.unused_data
                    ended = inflate.eof
                    if text:
                        yield text
        if not ended:
            raise ExportUnfit(f"the file {file.key} is not whole", remedy=_FILE_REMEDY)

    async def _bytes(self, bucket: str, key: str) -> AsyncGenerator[bytes]:
        body = await self._object(bucket, key)
        if body is None:
            message = f"the bucket {bucket} does not hold the file {key} of the export"
            raise ExportUnfit(message, remedy=_FILE_REMEDY)
        try:
            while chunk := await body.read(READ_BYTES):
                yield chunk
        except FAILURES as error:
            raise translate(error) from error
        finally:
            body.close()

    async def _manifest(self, bucket: str, key: str) -> bytes:
        """A manifest, verified by the checksum in the file beside."""
        found = await self._whole(bucket, key)
        if found is None:
            message = f"the bucket {bucket} does not hold the manifest {key}"
            raise ExportUnfit(message, remedy=_FILE_REMEDY)
        for ending in (".md5", ".checksum"):
            told = await self._whole(bucket, key.removesuffix(".json") + ending)
            if told is not None:
                require_checksum(key, found, told.decode("ascii", "replace"))
                break
        return found

    async def _whole(self, bucket: str, key: str) -> bytes | None:
        body = await self._object(bucket, key)
        if body is None:
            return None
        try:
            found: bytes = await body.read(MANIFEST_BYTES_MAX)
        except FAILURES as error:
            raise translate(error) from error
        finally:
            body.close()
        return found

    async def _object(self, bucket: str, key: str) -> "StreamingBody | None":
        """The body of an object; None where there is none."""
        arguments = {"Bucket": bucket, "Key": key}
        if self._destination.bucket_owner is not None:
            arguments["ExpectedBucketOwner"] = self._destination.bucket_owner
        try:
            answer = await self._s3.get_object(**arguments)
        except FAILURES as error:
            self._observe(SourceAnswered("GetObject", code_of(error)))
            if isinstance(error, ClientError) and code_of(error) in _ABSENT:
                return None
            raise translate(error) from error
        self._observe(SourceAnswered("GetObject", "ok"))
        body: StreamingBody = answer["Body"]
        return body

    async def _make(
        self,
        operation: str,
        method: Callable[..., Any],
        read: Callable[[Any], T],
        **arguments: object,
    ) -> T:
        try:
            return await self._calls.make(operation, method, read, **arguments)
        except SourceUnavailable as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and code_of(cause) in _UNFIT:
                remedy = "correct that, cancel, and ask again"
                raise ExportUnfit(str(error), remedy=remedy) from error
            raise


def recovery_of(answer: Mapping[str, Any]) -> Recovery | None:
    """Times of DescribeContinuousBackups; None: point-in-time recovery is off."""
    told = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription") or {}
    if told.get("PointInTimeRecoveryStatus") != "ENABLED":
        return None
    earliest, latest = told["EarliestRestorableDateTime"], told["LatestRestorableDateTime"]
    return Recovery(earliest, latest, _required_date(answer))


def _required_date(answer: Mapping[str, Any]) -> datetime:
    date = date_of(answer)
    if date is None:
        message = "the answer has no date"
        raise ValueError(message)
    return date.astimezone(UTC)


def _arn(answer: Mapping[str, Any]) -> str:
    return str(answer["ExportDescription"]["ExportArn"])


def _description(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    told: Mapping[str, Any] = answer["ExportDescription"]
    if told["ExportStatus"] == "COMPLETED" and not told.get("ExportManifest"):
        message = f"a complete export without a manifest: {json.dumps(str(told.get('ExportArn')))}"
        raise ValueError(message)
    return told
