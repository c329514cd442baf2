"""The scripted world: a clock that can be moved, tables, and the positions iterators stand for."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from tests.support.scripted_streams.errors import Refusal, invalid, not_found
from tests.support.scripted_streams.shards import Shard, Tree
from tests.support.scripted_streams.streams import Stream
from tests.support.scripted_streams.tables import Table

ITERATOR_SECONDS = 15 * 60
TrimmedShards = Literal["vanish", "not_found", "trimmed", "stay"]
AfterTrimmed = Literal["refuse", "skip"]


@dataclass(frozen=True, slots=True)
class ShardIterator:
    """A position in a shard, as handed to a reader at `issued_at` (epoch seconds)."""

    stream_arn: str
    shard: int
    position: int
    issued_at: float
    issue: int

    def encode(self) -> str:
        content = orjson.dumps([self.shard, self.position, self.issued_at, self.issue])
        return f"{self.stream_arn}|1|{base64.b64encode(content).decode()}"


def decode_iterator(text: str) -> ShardIterator:
    """Raise ValidationException for what this server did not hand out."""
    try:
        arn, _, content = text.split("|")
        return ShardIterator(arn, *orjson.loads(base64.b64decode(content)))
    except (ValueError, TypeError) as error:
        raise invalid("Invalid ShardIterator") from error


class World:
    """Every scripted table; `after_trimmed` is what AFTER does at a trimmed record."""

    def __init__(self, *, clock: Callable[[], float], region: str = "us-east-1") -> None:
        self.region = region
        self.tables: dict[str, Table] = {}
        self.after_trimmed: AfterTrimmed = "refuse"
        self._clock = clock
        self._offset = 0.0
        self._issue = 0

    def now(self) -> float:
        return self._clock() + self._offset

    def move(self, seconds: float, *, trimmed_shards: TrimmedShards) -> None:
        """Move the clock and let time do its work: records, shards and disabled streams go."""
        self._offset += seconds
        for table in self.tables.values():
            table.streams = [stream for stream in table.streams if not stream.has_left]
            for stream in table.streams:
                stream.trim(trimmed_shards=trimmed_shards)

    def expire_iterators(self) -> None:
        """Every iterator handed out so far is too old."""
        self._issue += 1

    def add_table(
        self, name: str, *, key: Mapping[str, str], view: str | None, shards: Tree, counter: int
    ) -> Table:
        """Raise ResourceInUse for a name that is taken; without a view there is no stream."""
        table = self.tables.get(name)
        if table is not None and table.exists:
            raise Refusal("ResourceInUseException", f"Table already exists: {name}")
        if table is not None and table.key == dict(key) and view is not None:
            table.recreate(shards=shards, view=view)
            return table
        table = Table(name, key=key, region=self.region, now=self.now)
        if view is not None:
            table.start_stream(view, shards=shards, counter=counter)
        self.tables[name] = table
        return table

    def table_named(self, name: str) -> Table:
        """By name or ARN; raise ResourceNotFound for one that does not exist (any more)."""
        table = self.tables.get(name.rpartition("/")[2])
        if table is None or not table.exists:
            raise not_found(f"Table: {name}")
        return table

    def find_stream(self, arn: str) -> Stream:
        for table in self.tables.values():
            for stream in table.streams:
                if stream.arn == arn:
                    return stream
        raise not_found(f"Stream: {arn}")

    def iterator(self, stream: Stream, shard: Shard, position: int) -> str:
        return ShardIterator(stream.arn, shard.number, position, self.now(), self._issue).encode()

    def is_expired(self, iterator: ShardIterator) -> bool:
        return iterator.issue < self._issue or iterator.issued_at + ITERATOR_SECONDS < self.now()

    def subject(self, operation: str, request: Mapping[str, Any]) -> tuple[str | None, int | None]:
        """The table and the shard a call is about, as far as it says."""
        if operation == "GetRecords":
            iterator = decode_iterator(str(request.get("ShardIterator")))
            return table_of(iterator.stream_arn), iterator.shard
        name = request.get("TableName")
        arn = request.get("StreamArn")
        shard_id = request.get("ShardId")
        if arn is None:
            return (str(name).rpartition("/")[2] if name else None), None
        return table_of(str(arn)), self._shard_number(str(arn), shard_id)

    def _shard_number(self, arn: str, shard_id: object) -> int | None:
        try:
            stream = self.find_stream(arn)
        except Refusal:
            return None
        found = (shard.number for shard in stream.shards.values() if shard.shard_id == shard_id)
        return next(found, None)


def table_of(stream_arn: str) -> str | None:
    """The table's name; None for what is no ARN of a stream."""
    return stream_arn.split("/")[1] if stream_arn.count("/") >= 3 else None
