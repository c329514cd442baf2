"""A Kinesis stream in this process, as a client sees it: shards split, merge and are trimmed."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from botocore.exceptions import ClientError

from replicator.core.stream.source_kind import share_of
from tests.support.faults import Send

FIRST_NUMBER = 10**55
HASHES = 2**16
RETENTION_SECONDS = 24 * 3600.0
SHARDS_PER_PAGE = 3


@dataclass(slots=True)
class FakeShard:
    """A shard with the records that were ever put; what is before `first` is trimmed."""

    shard_id: str
    parents: tuple[str, ...]
    span: tuple[int, int]
    records: list[tuple[float, int, bytes]] = field(default_factory=list)
    first: int = 0
    closed_at: float | None = None
    gone: bool = False
    unlisted: bool = False


class FakeKinesis:
    """One stream, and the share of it that one table has."""

    def __init__(self, kinesis_arn: str, table: str, *, now: Callable[[], float]) -> None:
        self.kinesis_arn = kinesis_arn
        self.arn = share_of(kinesis_arn, table)
        self.shards: dict[str, FakeShard] = {}
        self._now = now
        self._numbers = FIRST_NUMBER
        for span in ((0, HASHES // 2), (HASHES // 2, HASHES)):
            self._add((), span)

    @property
    def stream_arn(self) -> str:
        """The name under which the stream is on record."""
        return self.arn

    @property
    def stream(self) -> "FakeKinesis":
        """The table's newest stream: there is one."""
        return self

    def put(self, place: int, data: bytes) -> tuple[str, int]:
        """Put a record into the shard of that hash; shard and sequence number."""
        [shard] = [each for each in self.open_shards() if each.span[0] <= place < each.span[1]]
        self._numbers += 1
        shard.records.append((self._now(), self._numbers, data))
        return shard.shard_id, self._numbers

    def open_shards(self) -> list[FakeShard]:
        found = [shard for shard in self.shards.values() if shard.closed_at is None]
        return sorted(found, key=lambda shard: shard.span)

    def split(self, place: int) -> None:
        """Give the shard of that place two children."""
        shard = self.open_shards()[place % len(self.open_shards())]
        low, high = shard.span
        if high - low < 2:
            return
        shard.closed_at = self._now()
        middle = (low + high) // 2
        for span in ((low, middle), (middle, high)):
            self._add((shard.shard_id,), span)

    def merge(self, place: int) -> None:
        """Give the shard of that place and its neighbour one child."""
        shards = self.open_shards()
        if len(shards) < 2:
            return
        at = place % (len(shards) - 1)
        one, other = shards[at : at + 2]
        one.closed_at = other.closed_at = self._now()
        self._add((one.shard_id, other.shard_id), (one.span[0], other.span[1]))

    def trim(self) -> None:
        """Forget what is older than the retention, and closed shards with it."""
        border = self._now() - RETENTION_SECONDS
        for shard in self.shards.values():
            while shard.first < len(shard.records) and shard.records[shard.first][0] < border:
                shard.first += 1
            shard.gone = shard.closed_at is not None and shard.closed_at < border

    def _add(self, parents: tuple[str, ...], span: tuple[int, int]) -> None:
        shard_id = f"shardId-{len(self.shards):012d}"
        self.shards[shard_id] = FakeShard(shard_id, parents, span)

    # what the client asks for

    def listing(self, token: str | None) -> dict[str, Any]:
        listed = [shard for shard in self.shards.values() if not shard.gone]
        start = int(token or 0)
        page = listed[start : start + SHARDS_PER_PAGE]
        more = {"NextToken": str(start + len(page))} if start + len(page) < len(listed) else {}
        return {"Shards": [_description(shard) for shard in page], **more}

    def iterator(self, shard_id: str, after: str | None) -> dict[str, Any]:
        shard = self._found(shard_id)
        index = 0
        if after is not None:
            index = sum(number <= int(after) for _, number, _ in shard.records)
        return {"ShardIterator": f"{shard_id}|{index}"}

    def page(self, iterator: str, records_max: int) -> dict[str, Any]:
        """The records that are there still: what is trimmed is passed over without a word."""
        shard_id, _, place = iterator.partition("|")
        shard = self._found(shard_id)
        start = max(int(place), shard.first)
        records = shard.records[start : start + records_max]
        end = start + len(records)
        behind = len(shard.records) - end
        answer: dict[str, Any] = {
            "Records": [
                {"Data": b64encode(data).decode(), "SequenceNumber": str(number)}
                for _, number, data in records
            ],
            "MillisBehindLatest": behind,
        }
        if shard.closed_at is None or behind:
            return {**answer, "NextShardIterator": f"{shard_id}|{end}"}
        children = [each for each in self.shards.values() if shard_id in each.parents]
        told = [{"ShardId": each.shard_id, "ParentShards": each.parents} for each in children]
        return {**answer, "ChildShards": told}

    def _found(self, shard_id: str) -> FakeShard:
        shard = self.shards[shard_id]
        if shard.gone:
            error = {"Code": "ResourceNotFoundException", "Message": "Shard is gone"}
            raise ClientError({"Error": error}, "GetShardIterator")  # type: ignore[typeddict-item]
        return shard


def _description(shard: FakeShard) -> dict[str, Any]:
    named = dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False))
    ended = {} if shard.closed_at is None else {"EndingSequenceNumber": "1"}
    return {"ShardId": shard.shard_id, **named, "SequenceNumberRange": ended}


class FakeKinesisClient:
    """What botocore's client does for `KinesisStreams`; `page_records_max` makes pages short."""

    def __init__(
        self, kinesis: FakeKinesis, send: Send, *, page_records_max: Callable[[], int]
    ) -> None:
        self._kinesis = kinesis
        self._send = send
        self._page_records_max = page_records_max

    async def list_shards(self, **request: Any) -> Any:
        return await self._send("listing", lambda: self._kinesis.listing(request.get("NextToken")))

    async def get_shard_iterator(self, **request: Any) -> Any:
        after = request.get("StartingSequenceNumber")
        return await self._send(
            "iterator", lambda: self._kinesis.iterator(request["ShardId"], after)
        )

    async def get_records(self, **request: Any) -> Any:
        def work() -> Any:
            page = self._kinesis.page(request["ShardIterator"], self._page_records_max())
            return {"RawBody": orjson.dumps(page), "ChecksumFits": None}

        return await self._send("read", work)
