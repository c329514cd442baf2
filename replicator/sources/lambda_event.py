"""The event that AWS Lambda's event source mapping hands over, as records of the streams."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from replicator.core.records import StreamRecord, decode_event
from replicator.errors import UnknownRecord

EVENT_SOURCE = "aws:dynamodb"


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """The records of one stream in an event, in order."""

    stream_arn: str
    records: Sequence[StreamRecord]
    identifiers: Sequence[str]
    """The sequence numbers as they were delivered, which is how Lambda wants them back."""
    view_type: str | None = None
    """View type of the stream's records, where they say it."""

    @property
    def table(self) -> str:
        """The DynamoDB table's name."""
        return self.stream_arn.split("/")[1]

    @property
    def table_arn(self) -> str:
        """The DynamoDB table's ARN."""
        return self.stream_arn.partition("/stream/")[0]


def batches_of(event: object) -> list[StreamBatch]:
    """The records of an event by stream. UnknownRecord for anything that is not such a record.

    Of a tumbling window the last event may have none.
    """
    records = event.get("Records") if isinstance(event, Mapping) else None
    if records is None and isinstance(event, Mapping) and "window" in event:
        records = []
    if not isinstance(records, list):
        message = "the event has no `Records`: this function applies streams of DynamoDB alone"
        raise UnknownRecord(message, remedy="invoke it by an event source mapping of a stream")
    by_stream: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_stream.setdefault(_stream_of(record), []).append(record)
    return [_batch(arn, found) for arn, found in by_stream.items()]


def _batch(stream_arn: str, records: list[dict[str, Any]]) -> StreamBatch:
    decoded = decode_event(_encoded(records))
    changes = [record["dynamodb"] for record in records]
    return StreamBatch(
        stream_arn,
        decoded,
        [change["SequenceNumber"] for change in changes],
        next((change.get("StreamViewType") for change in changes), None),
    )


def _stream_of(record: Any) -> str:  # noqa: ANN401 (whatever JSON held)
    source = record.get("eventSource") if isinstance(record, dict) else None
    if source != EVENT_SOURCE:
        message = f"a record is from {source!r}, not from {EVENT_SOURCE!r}"
        raise UnknownRecord(message, remedy="remove the other event source from the function")
    arn = record.get("eventSourceARN")
    if not isinstance(arn, str) or "/stream/" not in arn:
        message = "a record does not say of which stream it is"
        raise UnknownRecord(message)
    return arn


def _encoded(records: list[dict[str, Any]]) -> bytes:
    try:
        return msgspec.json.encode(records)
    except (UnicodeEncodeError, ValueError):  # lone surrogates
        return json.dumps(records).encode()
