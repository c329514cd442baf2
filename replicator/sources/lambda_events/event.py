"""The event that AWS Lambda's event source mapping hands over, as records of the streams."""

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from replicator.core.stream.decoding.dynamodb_records import decode_event
from replicator.core.stream.decoding.kinesis_records import Base64, decode_kinesis_records
from replicator.core.stream.source_kind import KINESIS, kind_of, kinesis_arn_of, share_of
from replicator.core.stream_record import TOO_DEEP, StreamRecord
from replicator.errors import ConfigurationError, UnknownRecord

STREAMS_SOURCE = "aws:dynamodb"
KINESIS_SOURCE = "aws:kinesis"
Published = Mapping[str, Mapping[str, Base64]]
"""Kinesis streams by ARN: for each the DynamoDB tables that are read from the stream, by name, and
how often binary values are encoded in the records."""


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """The records of one stream in an event, in order; of a Kinesis stream one table's share."""

    stream_arn: str
    records: Sequence[StreamRecord]
    identifiers: Sequence[str]
    """The sequence numbers in the form of the delivery, in which Lambda wants failures named."""
    view_type: str | None = None
    """View type of the stream's records, where told."""
    unknown: UnknownRecord | None = None
    """A record of the table's whose meaning is not known: nothing of the batch may be applied."""

    @property
    def table(self) -> str:
        """The DynamoDB table's name."""
        return self.stream_arn.split("/")[2 if self.is_share else 1]

    @property
    def is_share(self) -> bool:
        """True for a table's share of a Kinesis stream."""
        return kind_of(self.stream_arn) is KINESIS

    @property
    def event_source_arn(self) -> str:
        """ARN of the stream that the event source mapping reads."""
        return kinesis_arn_of(self.stream_arn) if self.is_share else self.stream_arn

    @property
    def table_arn(self) -> str:
        """The DynamoDB table's ARN; of a share the share's name, which tells the table too."""
        return self.stream_arn.partition("/stream/")[0]


def batches_of(event: object, published: Published | None = None) -> list[StreamBatch]:
    """The records of an event by stream. UnknownRecord for anything that is not such a record.

    Of a Kinesis stream each table that is read from the stream has all records: those of others
    are foreign. ConfigurationError where no table is. A record that one of the tables does not
    understand is told in that table's batch alone.

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
    batches: list[StreamBatch] = []
    for arn, found in by_stream.items():
        if kind_of(arn) is KINESIS:
            batches += _shares(arn, found, (published or {}).get(arn, {}))
        else:
            batches.append(_batch(arn, found))
    return batches


def _shares(
    kinesis_arn: str, records: list[dict[str, Any]], tables: Mapping[str, Base64]
) -> list[StreamBatch]:
    if not tables:
        message = f"no entry with `poller: lambda` is read from {kinesis_arn}"
        raise ConfigurationError(
            message, remedy="add it, or remove the event source mapping from the function"
        )
    try:
        told = [record["kinesis"] for record in records]
        data = [b64decode(each["data"], validate=True) for each in told]
        numbers = [str(each["sequenceNumber"]) for each in told]
    except (LookupError, TypeError, ValueError) as error:
        message = f"a record of {kinesis_arn} has no data, or no sequence number"
        raise UnknownRecord(message) from error
    return [
        _share(share_of(kinesis_arn, table), data, numbers, table, base64)
        for table, base64 in tables.items()
    ]


def _share(
    arn: str, data: Sequence[bytes], numbers: Sequence[str], table: str, base64: Base64
) -> StreamBatch:
    try:
        records = decode_kinesis_records(data, numbers, table=table, base64=base64)
    except UnknownRecord as error:
        return StreamBatch(arn, (), numbers, unknown=error)
    return StreamBatch(arn, records, numbers)


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
    if source not in (STREAMS_SOURCE, KINESIS_SOURCE):
        message = f"a record is from {source!r}, not from {STREAMS_SOURCE!r} or {KINESIS_SOURCE!r}"
        raise UnknownRecord(message, remedy="remove the other event source from the function")
    arn = record.get("eventSourceARN")
    service = "/stream/" if source == STREAMS_SOURCE else ":kinesis:"
    if not isinstance(arn, str) or service not in arn:
        message = f"a record from {source!r} does not say of which stream it is"
        raise UnknownRecord(message)
    return arn


def _encoded(records: list[dict[str, Any]]) -> bytes:
    try:
        try:
            return msgspec.json.encode(records)
        except (ValueError, OverflowError):  # lone surrogates, numbers of more than 64 bits
            return json.dumps(records).encode()
    except RecursionError as error:
        raise UnknownRecord(TOO_DEEP) from error
    except ValueError as error:
        message = "the records of the event cannot be written as JSON"
        raise UnknownRecord(message) from error
