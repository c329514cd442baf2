"""Kinds of sources: for how long one keeps the records, and where the label is. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class SourceKind:
    """Promises of one kind of source. `retention`: time for which a record is kept."""

    name: str
    retention: timedelta

    def label(self, stream_arn: str) -> str:
        """The part of a stream's ARN that tells a table's streams apart: the time of enabling."""
        return stream_arn.rpartition("/")[2]


DYNAMODB_STREAMS = SourceKind("DynamoDB Streams", retention=timedelta(hours=24))
"""Keeps a record for 24 hours (Developer Guide, Streams.html)."""
_BY_SERVICE: Mapping[str, SourceKind] = {"dynamodb": DYNAMODB_STREAMS}


def kind_of(stream_arn: str | None) -> SourceKind:
    """The kind of a stream, by the service in its ARN; the usual kind without a stream."""
    service = (stream_arn or "").split(":")[2:3]
    return _BY_SERVICE.get("".join(service), DYNAMODB_STREAMS)
