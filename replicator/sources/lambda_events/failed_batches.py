"""Batches that AWS Lambda gave up, as the failure destinations hold the batches.

SQS and SNS get the place of a batch in the shard alone (`DDBStreamBatchInfo`), S3 the event, too
(`payload`). A file may hold several batches one after another, an SQS message as the AWS CLI prints
messages, an SNS envelope, or an event as delivered.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from replicator.errors import ConfigurationError, UnknownRecord
from replicator.sources.lambda_events.event import StreamBatch, batches_of

_REMEDY = "give what the failure destination holds: an object of S3, a message of SQS or SNS"
_WRAPPINGS_MAX = 8


@dataclass(frozen=True, slots=True)
class BatchPlace:
    """The place of a batch in the shard; both sequence numbers belong to the batch."""

    stream_arn: str
    shard_id: str
    start: str
    """The first sequence number, in the form of the delivery."""
    last: int
    records: int
    newest_at: datetime

    @property
    def first(self) -> int:
        """The first sequence number, in the form of the delivery."""
        return int(self.start)


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """A batch, and the place of the text: file and line."""

    where: str
    content: BatchPlace | StreamBatch


def failed_batches(text: bytes, name: str) -> list[FailedBatch]:
    """All batches of a file; ConfigurationError with file and line."""
    found = [batch for where, value in _documents(text, name) for batch in _unwrap(value, where, 0)]
    if not found:
        message = f"{name}: holds no batch"
        raise ConfigurationError(message, remedy=_REMEDY)
    return found


def _documents(text: bytes, name: str) -> Iterator[tuple[str, Any]]:
    """The JSON documents of a file, one after another, with the places."""
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{name}: is not UTF-8 text"
        raise ConfigurationError(message, remedy=_REMEDY) from error
    decoder, place = json.JSONDecoder(), 0
    while True:
        place += len(decoded[place:]) - len(decoded[place:].lstrip())
        if place >= len(decoded):
            return
        line = decoded.count("\n", 0, place) + 1
        try:
            value, place = decoder.raw_decode(decoded, place)
        except json.JSONDecodeError as error:
            message = f"{name}, line {error.lineno}: is not JSON ({error.msg})"
            raise ConfigurationError(message, remedy=_REMEDY) from error
        except RecursionError as error:
            message = f"{name}, line {line}: is nested too deep"
            raise ConfigurationError(message, remedy=_REMEDY) from error
        yield f"{name}, line {line}", value


def _unwrap(value: object, where: str, depth: int) -> Iterator[FailedBatch]:
    if depth > _WRAPPINGS_MAX:
        raise _unknown(where, "too many wrappings")
    match value:
        case list():
            inner = value
        case {"Messages": list(messages)}:
            inner = messages
        case {"Records": _}:
            yield from _events(value, where)
            return
        case {"payload": str(payload)}:
            yield from _events(_parsed(payload, where), where)
            return
        case {"payload": payload}:
            yield from _events(payload, where)
            return
        case {"DDBStreamBatchInfo": info}:
            yield FailedBatch(where, _place(info, where))
            return
        case {"Body": str(body)} | {"Message": str(body)}:
            inner = [_parsed(body, where)]
        case _:
            raise _unknown(where, "neither `DDBStreamBatchInfo` nor `payload` nor `Records`")
    for each in inner:
        yield from _unwrap(each, where, depth + 1)


def _events(event: object, where: str) -> Iterator[FailedBatch]:
    try:
        batches = batches_of(event)
    except (UnknownRecord, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _unknown(where, str(error)) from error
    if not batches:
        raise _unknown(where, "an event without records")
    yield from (FailedBatch(where, batch) for batch in batches)


def _place(info: Any, where: str) -> BatchPlace:  # noqa: ANN401 (whatever JSON held)
    try:
        arn, shard = info["streamArn"], info["shardId"]
        place = BatchPlace(
            arn,
            shard,
            str(info["startSequenceNumber"]),
            int(info["endSequenceNumber"]),
            int(info["batchSize"]),
            datetime.fromisoformat(info["approximateArrivalOfLastRecord"]),
        )
        ordered = place.first <= place.last
    except (LookupError, TypeError, ValueError) as error:
        raise _unknown(where, "`DDBStreamBatchInfo` is not of the known shape") from error
    known = isinstance(shard, str) and isinstance(arn, str) and "/stream/" in arn
    if not known or not ordered or place.newest_at.tzinfo is None:
        raise _unknown(where, "`DDBStreamBatchInfo` is not of the known shape")
    return place


def _parsed(text: str, where: str) -> Mapping[str, Any]:
    try:
        value: Mapping[str, Any] = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise _unknown(where, "the message inside is not JSON") from error
    return value


def _unknown(where: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"{where}: no batch that Lambda gave up: {what}", remedy=_REMEDY)
