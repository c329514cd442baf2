"""Manifests of DynamoDB's exports to S3: the files of one, and proof of the number. Pure.

An export is a folder of gzip files with a line for each item. `manifest-summary.json` describes the
export and has the number of items; the file named there, `manifest-files.json`, has a line for
each data file with count and checksum. The counts of the files add up to the summary's, so
that a file that is missing from the list cannot be overlooked.
"""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5
from typing import Annotated

import msgspec

from replicator.core.snapshot.export_windows import MARGIN, Window, export_time, in_utc
from replicator.core.snapshot.snapshot_state import ExportRecord
from replicator.errors import ExportUnfit

SUMMARY_FILE = "manifest-summary.json"
FORMAT = "DYNAMODB_JSON"
INCREMENTAL = "INCREMENTAL_EXPORT"
_REMEDY = "ask for a new export"


@dataclass(frozen=True, slots=True)
class DataFile:
    """One gzip file of an export: `key` within the bucket, number of lines, base64 MD5."""

    key: str
    items: int
    md5: str


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """Facts of an export from the manifest; `window` None: of the whole table."""

    arn: str
    table_arn: str
    at: datetime
    """Time of the table's state in the export; the end of a window."""
    window: Window | None
    bucket: str
    files_key: str
    """Key of the list of data files within the bucket."""
    items: int
    billed_bytes: int


_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Summary(msgspec.Struct):
    exportArn: str  # noqa: N815 (the wire's names, here and below)
    tableArn: str  # noqa: N815
    s3Bucket: str  # noqa: N815
    manifestFilesS3Key: str  # noqa: N815
    itemCount: _Count  # noqa: N815
    outputFormat: str  # noqa: N815
    exportTime: _Instant | None = None  # noqa: N815
    exportType: str | None = None  # noqa: N815
    exportFromTime: _Instant | None = None  # noqa: N815
    exportToTime: _Instant | None = None  # noqa: N815
    billedSizeBytes: int = 0  # noqa: N815


class _File(msgspec.Struct):
    itemCount: _Count  # noqa: N815
    md5Checksum: str  # noqa: N815
    dataFileS3Key: str  # noqa: N815


def read_summary(body: bytes) -> ExportSummary:
    """The summary; ExportUnfit for another file, or an unreadable export."""
    try:
        wire = msgspec.json.decode(body, type=_Summary)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"the export's {SUMMARY_FILE} is not of the shape that AWS documents: {error}"
        raise ExportUnfit(message, remedy=_REMEDY) from error
    if wire.outputFormat != FORMAT:
        message = f"the export {wire.exportArn} is in the format {wire.outputFormat}"
        raise ExportUnfit(message, remedy=f"ask for one in the format {FORMAT}")
    window = None
    at = wire.exportTime
    if wire.exportType == INCREMENTAL:
        if wire.exportFromTime is None or wire.exportToTime is None:
            message = f"the export {wire.exportArn} is incremental and names no window"
            raise ExportUnfit(message, remedy=_REMEDY)
        window = Window(wire.exportFromTime, wire.exportToTime)
        at = wire.exportToTime
    if at is None:
        message = f"the export {wire.exportArn} does not say of what time it is"
        raise ExportUnfit(message, remedy=_REMEDY)
    return ExportSummary(
        arn=wire.exportArn,
        table_arn=wire.tableArn,
        at=at,
        window=window,
        bucket=wire.s3Bucket,
        files_key=wire.manifestFilesS3Key,
        items=wire.itemCount,
        billed_bytes=wire.billedSizeBytes,
    )


def read_files(body: bytes, summary: ExportSummary) -> list[DataFile]:
    """The data files, in the order of the list; ExportUnfit where the counts do not add up.

    A file that is listed twice would hide one that is not listed, whose rows would count as stale.
    """
    try:
        lines = msgspec.json.Decoder(_File).decode_lines(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"the list of files of {summary.arn} is not of the shape that AWS documents"
        raise ExportUnfit(f"{message}: {error}", remedy=_REMEDY) from error
    if len({line.dataFileS3Key for line in lines}) != len(lines):
        message = f"the list of files of {summary.arn} names a file twice"
        raise ExportUnfit(message, remedy=_REMEDY)
    total = sum(line.itemCount for line in lines)
    if total != summary.items:
        message = (
            f"the files of {summary.arn} hold {total} items by their list, and its summary says "
            f"{summary.items}"
        )
        raise ExportUnfit(message, remedy=_REMEDY)
    return [DataFile(line.dataFileS3Key, line.itemCount, line.md5Checksum) for line in lines]


def require_fit(
    summary: ExportSummary, wanted: ExportRecord, guarded_at: datetime, table_arn: str
) -> None:
    """ExportUnfit unless the export is the requested one, or may be loaded in the place.

    An export of the table's state before the guard may lack a change that was applied without a
    version: the load would undo that change.
    """
    if summary.table_arn != table_arn:
        message = f"{summary.arn} is of {summary.table_arn}, and this table is {table_arn}"
        raise ExportUnfit(message, remedy="give an export of this table")
    if wanted.since is not None:
        if summary.window != Window(wanted.since, wanted.until or wanted.since):
            message = f"{summary.arn} is of another window than was asked for"
            raise ExportUnfit(message, remedy=_REMEDY)
        return
    if summary.window is not None:
        message = f"{summary.arn} is incremental, and does not hold the whole table"
        raise ExportUnfit(message, remedy="give a full export")
    if summary.at < guarded_at + MARGIN:
        message = (
            f"{summary.arn} is of {in_utc(summary.at)}: it may lack what the stream wrote before "
            f"its rows were guarded, at {in_utc(guarded_at)}"
        )
        remedy = f"make one of {in_utc(export_time(guarded_at))} or later, and give its ARN"
        raise ExportUnfit(message, remedy=remedy)


def require_checksum(name: str, body: bytes, told: str) -> None:
    """ExportUnfit unless the body has the MD5 that was told, in base64 or in hexadecimal."""
    digest = md5(body, usedforsecurity=False)
    if told.strip() not in (b64encode(digest.digest()).decode(), digest.hexdigest()):
        raise ExportUnfit(f"{name} does not match its checksum", remedy=_REMEDY)


def require_file(file: DataFile, *, lines: int, digest: bytes) -> None:
    """ExportUnfit unless a data file that was read to the end is the one that the list names."""
    try:
        expected = b64decode(file.md5, validate=True)
    except ValueError:
        expected = b""
    if digest != expected:
        raise ExportUnfit(f"the file {file.key} does not match its checksum", remedy=_REMEDY)
    if lines != file.items:
        message = f"the file {file.key} has {lines} lines, and its list says {file.items}"
        raise ExportUnfit(message, remedy=_REMEDY)
