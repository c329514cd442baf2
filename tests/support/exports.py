"""Exports to S3 as DynamoDB writes them, from the log of a scripted table, on a real S3 API.

No emulator writes one: the control calls are answered here, in front of the emulator, which gets
everything else.
"""

import gzip
import hashlib
import json
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal, Protocol

import aioboto3
import aiohttp
from aiohttp import web

from tests.support.endpoints import CONFIG
from tests.support.http_server import served

Item = dict[str, Any]
Damage = Literal["checksum", "count", "missing", "truncated", "manifest"]
BUCKET = "exports"
NOT_PASSED_ON = {"host", "content-length", "transfer-encoding", "content-encoding", "connection"}
RESTORABLE_DAYS = 35


@dataclass(frozen=True, slots=True)
class Logged:
    """A change of the table; `new` None: the item is gone."""

    at: datetime
    keys: Item
    new: Item | None


class Lines(Protocol):
    """The lines that an export of a table has."""

    def lines(self, since: datetime | None, until: datetime) -> Sequence[Item]:
        """Those of a full export, or of an incremental one."""
        ...


@dataclass(slots=True)
class TableLog:
    """Every change ever made to a table, in order."""

    key: tuple[str, ...] = ("pk",)
    entries: list[Logged] = field(default_factory=list)

    def add(self, item: Item, *, gone: bool = False, at: datetime | None = None) -> None:
        keys = {name: item[name] for name in self.key}
        self.entries.append(Logged(at or datetime.now(UTC), keys, None if gone else item))

    def state(self, before: datetime) -> dict[str, Item]:
        """The items that were there then, by their keys as text."""
        found: dict[str, Item] = {}
        for entry in self.entries:
            if entry.at < before:
                name = json.dumps(entry.keys, sort_keys=True)
                found.pop(name, None)
                if entry.new is not None:
                    found[name] = entry.new
        return found

    def lines(self, since: datetime | None, until: datetime) -> list[Item]:
        """The lines of a full export, or of an incremental one."""
        now = self.state(until)
        if since is None:
            return [{"Item": item} for item in now.values()]
        old = self.state(since)
        last = {
            json.dumps(entry.keys, sort_keys=True): entry
            for entry in self.entries
            if since <= entry.at < until
        }
        return [
            _change(entry, old.get(name), now.get(name))
            for name, entry in last.items()
            if name in old or name in now  # put and deleted within the window: no line
        ]


def _change(entry: Logged, old: Item | None, new: Item | None) -> Item:
    micros = int(entry.at.timestamp() * 1_000_000)
    line: Item = {"Metadata": {"WriteTimestampMicros": {"N": str(micros)}}, "Keys": entry.keys}
    if old is not None:
        line["OldImage"] = old
    if new is not None:
        line["NewImage"] = new
    return line


@dataclass(slots=True)
class Written:
    """An export as DescribeExport tells it."""

    arn: str
    manifest: str
    description: Item


@asynccontextmanager
async def bucket_client(url: str) -> AsyncIterator[Any]:
    """A client of S3, and a bucket for exports."""
    async with aioboto3.Session().client("s3", endpoint_url=url, config=CONFIG) as s3:
        await s3.create_bucket(Bucket=BUCKET)
        yield s3


async def write_export(
    s3: Any,
    arn: str,
    table_arn: str,
    lines: Sequence[Item],
    *,
    since: datetime | None,
    until: datetime,
    prefix: str | None = None,
    files: int = 3,
    damage: Damage | None = None,
    output: str = "DYNAMODB_JSON",
) -> Written:
    """Write the folder of an export: data files, one of them empty, and both manifests."""
    folder = f"{prefix}/AWSDynamoDB" if prefix else "AWSDynamoDB"
    own = f"{folder}/{arn.rpartition('/')[2]}"
    data = f"{own}/data" if since is None else f"{folder}/data"
    listed: list[Item] = []
    for number in range(files + 1):
        some = [] if number == files else lines[number::files]
        text = "".join(f"{json.dumps(line)}\n" for line in some)
        body = gzip.compress(text.encode())
        key = f"{data}/{arn.rpartition('/')[2][-8:]}{number}.json.gz"
        listed.append({"itemCount": len(some), "md5Checksum": _md5(body), "dataFileS3Key": key})
        hurt = number == 0
        if damage == "count" and hurt:
            listed[-1]["itemCount"] += 1
        if damage == "checksum" and hurt:
            listed[-1]["md5Checksum"] = _md5(b"another file")
        if damage == "truncated" and hurt:
            body = body[: len(body) // 2]
            listed[-1]["md5Checksum"] = _md5(body)
        if not (damage == "missing" and hurt):
            await s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    total = sum(file["itemCount"] for file in listed)
    summary: Item = {
        "version": "2020-06-30",
        "exportArn": arn,
        "startTime": _iso(until),
        "endTime": _iso(until),
        "tableArn": table_arn,
        "tableId": "8f6b3a1c-0000-4000-8000-000000000000",
        "exportTime": _iso(until),
        "s3Bucket": BUCKET,
        "s3Prefix": prefix,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"{own}/manifest-files.json",
        "billedSizeBytes": 1000,
        "itemCount": total + (damage == "manifest"),
        "outputFormat": output,
    }
    if since is not None:
        summary |= {
            "exportFromTime": _iso(since),
            "exportToTime": _iso(until),
            "exportType": "INCREMENTAL_EXPORT",
            "outputView": "NEW_AND_OLD_IMAGES",
        }
    list_body = "".join(f"{json.dumps(file)}\n" for file in listed).encode()
    for name, body in (
        ("manifest-files", list_body),
        ("manifest-summary", json.dumps(summary).encode()),
    ):
        await s3.put_object(Bucket=BUCKET, Key=f"{own}/{name}.json", Body=body)
        await s3.put_object(Bucket=BUCKET, Key=f"{own}/{name}.md5", Body=_md5(body).encode())
    description = {
        "ExportArn": arn,
        "ExportStatus": "COMPLETED",
        "ExportManifest": f"AWSDynamoDB/{arn.rpartition('/')[2]}/manifest-summary.json",
        "TableArn": table_arn,
        "S3Bucket": BUCKET,
        "ItemCount": total,
    }
    return Written(arn, f"{own}/manifest-summary.json", description | _prefix(prefix))


def _prefix(prefix: str | None) -> Item:
    return {} if prefix is None else {"S3Prefix": prefix}


def _md5(body: bytes) -> str:
    return b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Refused(Exception):
    """The error of this name is the answer."""


@dataclass(slots=True)
class ExportService:
    """Answers DynamoDB's calls for exports, from a log.

    Its restorable time lies ahead of the clock, so that nobody waits for it: DynamoDB's trails.
    """

    s3: Any
    log: Lines
    table_arn: str
    recovery: bool = True
    earliest: datetime = field(
        default_factory=lambda: datetime.now(UTC) - timedelta(days=RESTORABLE_DAYS)
    )
    files: int = 3
    damage: Damage | None = None
    pending: int = 1
    """Looks at an export before it is complete."""
    failure: str | None = None
    refusal: str | None = None
    """Name of the error that asking for an export ends with."""
    made: dict[str, Written] = field(default_factory=dict)
    asked: list[Item] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    """Operations, each with the table that it names."""
    _tokens: dict[str, tuple[str, Item]] = field(default_factory=dict)
    _looks: dict[str, int] = field(default_factory=dict)

    async def make(self, since: datetime | None, until: datetime) -> str:
        """Make an export, complete at once; its ARN."""
        arn = f"{self.table_arn}/export/01693685827463-{secrets.token_hex(4)}"
        self.made[arn] = await write_export(
            self.s3,
            arn,
            self.table_arn,
            self.log.lines(since, until),
            since=since,
            until=until,
            prefix="some/where",
            files=self.files,
            damage=self.damage,
        )
        return arn

    async def answer(self, operation: str, wanted: Item) -> Item | None:
        """The answer; None where it is not for us."""
        tables = wanted.get("RequestItems", [wanted.get("TableName", "")])
        self.calls += [f"{operation} {table}".strip() for table in tables]
        match operation:
            case "DescribeContinuousBackups":
                return {"ContinuousBackupsDescription": self._backups()}
            case "ExportTableToPointInTime":
                return {"ExportDescription": await self._export(wanted)}
            case "DescribeExport":
                return {"ExportDescription": self._describe(wanted["ExportArn"])}
            case _:
                return None

    def _backups(self) -> Item:
        if not self.recovery:
            told: Item = {"PointInTimeRecoveryStatus": "DISABLED"}
        else:
            told = {
                "PointInTimeRecoveryStatus": "ENABLED",
                "EarliestRestorableDateTime": self.earliest.timestamp(),
                "LatestRestorableDateTime": (datetime.now(UTC) + timedelta(minutes=30)).timestamp(),
            }
        return {"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": told}

    async def _export(self, wanted: Item) -> Item:
        token = wanted["ClientToken"]
        if self.refusal is not None:
            raise Refused(self.refusal)
        if not self.recovery:
            raise Refused("PointInTimeRecoveryUnavailableException")
        if token not in self._tokens:
            self.asked.append(wanted)
            since, until = None, wanted.get("ExportTime", 0.0)
            if wanted.get("ExportType") == "INCREMENTAL_EXPORT":
                window = wanted["IncrementalExportSpecification"]
                since, until = _time(window["ExportFromTime"]), window["ExportToTime"]
            self._tokens[token] = await self.make(since, _time(until)), wanted
        arn, before = self._tokens[token]
        if wanted != before:
            raise Refused("ExportConflictException")
        return {"ExportArn": arn, "ExportStatus": "IN_PROGRESS"}

    def _describe(self, arn: str) -> Item:
        if arn not in self.made:
            raise Refused("ExportNotFoundException")
        looks = self._looks[arn] = self._looks.get(arn, 0) + 1
        if self.failure is not None:
            failed = {"ExportStatus": "FAILED", "FailureCode": "S3AccessDenied"}
            return {"ExportArn": arn, **failed, "FailureMessage": self.failure}
        if looks <= self.pending:
            return {"ExportArn": arn, "ExportStatus": "IN_PROGRESS"}
        return self.made[arn].description


class Answers(Protocol):
    """Answers some calls of DynamoDB; None for those that the emulator is to answer."""

    async def answer(self, operation: str, wanted: Item, /) -> Item | None: ...


def _time(told: float) -> datetime:
    return datetime.fromtimestamp(told, UTC)


@asynccontextmanager
async def export_service(url: str, service: Callable[[], Answers]) -> AsyncIterator[str]:
    """The URL of an endpoint that answers these calls, and passes all others on to the emulator."""

    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        target, _, operation = request.headers.get("X-Amz-Target", "").rpartition(".")
        if target == "DynamoDB_20120810":
            date = {"Date": format_datetime(datetime.now(UTC), usegmt=True)}
            try:
                answer = await service().answer(operation, json.loads(body))
            except Refused as refused:
                error = {"__type": f"com.amazonaws.dynamodb.v20120810#{refused}"}
                return web.json_response(error, status=400, headers=date)
            if answer is not None:
                return web.json_response(answer, headers=date)
        async with session.request(
            request.method, f"{url}{request.path_qs}", data=body, headers=_kept(request.headers)
        ) as got:
            found = await got.read()
            return web.Response(status=got.status, body=found, headers=_kept(got.headers))

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", forward)
    async with aiohttp.ClientSession(auto_decompress=False) as session, served(app) as proxy:
        yield proxy


def _kept(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in NOT_PASSED_ON}
