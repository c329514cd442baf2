"""Kinds of sources: how long one keeps records, what orders changes, names of streams. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from replicator.core.stream.ordering_mode import OrderingMode

ChangeOrder = Literal["number", "time"]
"""Order of an item's changes in the versions of rows. `number`: sequence numbers, which grow along
a lineage of shards. `time`: creation times with the tie rule of `core/stream/order_by_time`, as
records come twice and in any order."""


@dataclass(frozen=True, slots=True)
class SourceKind:
    """Promises of one kind of source. `retention`: time for which it keeps a record at least."""

    name: str
    retention: timedelta
    order: ChangeOrder = "number"

    @property
    def resting_ordering(self) -> OrderingMode:
        """The ordering mode of a table of the daemon beside which no snapshot runs.

        Where a shard does not hold the changes in order, the row guard is never left.
        """
        return OrderingMode.FENCE if self.order == "number" else OrderingMode.GUARD

    def label(self, stream_arn: str) -> str:
        """The part of a stream's ARN that tells a table's streams apart: the time of enabling."""
        return stream_arn.rpartition("/")[2]


DYNAMODB_STREAMS = SourceKind("DynamoDB Streams", retention=timedelta(hours=24))
"""Keeps a record for 24 hours (Developer Guide, Streams.html)."""
KINESIS = SourceKind("Kinesis Data Streams", retention=timedelta(hours=24), order="time")
"""Keeps a record for 24 hours at least, the lowest retention that a stream can have (Developer
Guide, kinesis-extended-retention.html)."""
_BY_SERVICE: Mapping[str, SourceKind] = {"dynamodb": DYNAMODB_STREAMS, "kinesis": KINESIS}


def kind_of(stream_arn: str | None) -> SourceKind:
    """The kind of a stream, by the service in its ARN; the usual kind without a stream."""
    service = (stream_arn or "").split(":")[2:3]
    return _BY_SERVICE.get("".join(service), DYNAMODB_STREAMS)


def share_of(kinesis_arn: str, table: str) -> str:
    """Name of one table's share of a Kinesis stream, in place of a stream's ARN: the stream's ARN
    and the table's name. Several tables may share a stream, and each reads it by itself.

    `table` is a DynamoDB table's name or ARN.
    """
    return f"{kinesis_arn}/{table.rpartition('/')[2]}"


FIRST_SIGHT_MARGIN = timedelta(minutes=1)
"""Time after the first sight of a Kinesis stream's name up to which a creation is that of the
stream that was seen: the clocks of the service and of the reader differ."""
CREATION_MARGIN = timedelta(seconds=5)
"""Times of creation that differ by less are of one stream: AWS calls them approximate, and takes
longer to delete a stream and to create one."""


@dataclass(frozen=True, slots=True)
class SeenShare:
    """A share of a Kinesis stream on record. `since`: the first sight of the share. `created_at`:
    of the stream; None where a version that kept no such time recorded the share.
    """

    name: str
    since: datetime
    created_at: datetime | None

    def is_of(self, created_at: datetime) -> bool:
        """True for a share of the stream with that time of creation, and not of one before it under
        the same ARN.
        """
        if self.created_at is None:
            return created_at <= self.since + FIRST_SIGHT_MARGIN
        return created_at <= self.created_at + CREATION_MARGIN


def share_of_creation(share: str, created_at: datetime) -> str:
    """Name of a share of a Kinesis stream that was created again under the name of one before it.

    Both have one ARN, and their shards the same ids: the time of the creation tells them apart.
    """
    return f"{_first_share(share)}{_CREATED}{created_at.isoformat(timespec='milliseconds')}"


def is_created_again(stream_arn: str, before: str) -> bool:
    """True for shares of one table in two Kinesis streams of one ARN, the one after the other."""
    both = kind_of(stream_arn), kind_of(before)
    same = both == (KINESIS, KINESIS) and _first_share(stream_arn) == _first_share(before)
    return same and stream_arn != before


def is_read_from(stream_arn: str, kinesis: str | None) -> bool:
    """True where a stream on record is one of the source that a table is read from: of the Kinesis
    stream of that ARN, or of DynamoDB Streams (None).
    """
    if kinesis is None:
        return kind_of(stream_arn) is DYNAMODB_STREAMS
    return kind_of(stream_arn) is KINESIS and kinesis_arn_of(stream_arn) == kinesis


_CREATED = "@"
"""Stands before the time of creation in a share's name; no name of a table has it."""


def _first_share(share: str) -> str:
    return share.partition(_CREATED)[0]


def kinesis_arn_of(share: str) -> str:
    """The ARN of the Kinesis stream that a share is of."""
    return share.rpartition("/")[0]
