"""Pages of DynamoDB Streams and events of AWS Lambda become records, images stay raw JSON. Pure."""

import json

import msgspec

from replicator.core.stream_record import (
    EVENTS,
    TOO_DEEP,
    TTL_PRINCIPAL,
    LetterId,
    Page,
    Position,
    StreamRecord,
    Version,
    as_ascii,
)
from replicator.errors import UnknownRecord

SEQUENCE_DIGITS_MAX = 60
"""Digits of a sequence number that the control schema has room for: DynamoDB's have 40 at most."""
_NULL = b"null"
_OBJECT = ord("{")
_SHOWN_MAX = 64
"""Characters of a name that a record says of itself."""
_SECONDS_MAX = 1e11
"""Largest creation time in seconds, in the year 5138: a larger number is of another unit."""


class _Change(msgspec.Struct, gc=False):
    Keys: dict[str, dict[str, str]]
    SequenceNumber: str
    NewImage: msgspec.Raw = msgspec.Raw()
    OldImage: msgspec.Raw = msgspec.Raw()
    ApproximateCreationDateTime: float | str | None = None


class _Identity(msgspec.Struct, gc=False):
    """The stream API capitalises the names, Lambda does not."""

    PrincipalId: str | None = None
    principalId: str | None = None  # noqa: N815 (the wire's name)


class _Record(msgspec.Struct, gc=False):
    eventName: str  # noqa: N815 (the wire's name)
    dynamodb: _Change
    eventID: str | None = None  # noqa: N815 (the wire's name)
    userIdentity: _Identity | None = None  # noqa: N815 (the wire's name)


class _RecordsPage(msgspec.Struct):
    """Even an empty page has `Records`: an answer without is something else."""

    Records: list[_Record]
    NextShardIterator: str | None = None


_decode_page = msgspec.json.Decoder(_RecordsPage).decode
_decode_records = msgspec.json.Decoder(list[_Record]).decode


def decode_page(body: bytes) -> Page:
    """The records of one GetRecords answer; UnknownRecord where a meaning is not known.

    ValueError for another answer, which would end the shard.
    """
    try:
        try:
            wire = _decode_page(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            wire = _decode_tolerantly(body)
    except RecursionError as error:
        raise UnknownRecord(TOO_DEEP) from error
    return Page([_record(record) for record in wire.Records], wire.NextShardIterator, len(body))


def decode_event(records: bytes) -> list[StreamRecord]:
    """The records of a Lambda event, given as the JSON text of the `Records` list.

    UnknownRecord for any other text.
    """
    try:
        try:
            wire = _decode_records(records)
        except (msgspec.DecodeError, UnicodeDecodeError):
            wire = _decode_tolerantly(b'{"Records":' + records + b"}").Records
    except RecursionError as error:
        raise UnknownRecord(TOO_DEEP) from error
    except ValueError as error:
        message = "the records of the event are not JSON that can be read"
        raise UnknownRecord(message) from error
    return [_record(record) for record in wire]


def _decode_tolerantly(body: bytes) -> _RecordsPage:
    """Decode a page with lone surrogates: a strict parser refuses the whole page for one string.

    Images are written again as ASCII JSON, so that only the images concerned fail to decode later.
    """
    page = json.loads(body)
    if not isinstance(page, dict) or not isinstance(page.get("Records"), list):
        message = "the answer has no list of records"
        raise ValueError(message)  # noqa: TRY004 (a value of the wire, not an argument)
    for record in page["Records"]:
        change = record.get("dynamodb") if isinstance(record, dict) else None
        if not isinstance(change, dict):
            continue
        for name in ("NewImage", "OldImage"):
            if change.get(name) is not None:
                change[name] = as_ascii(change[name])
    for number, record in enumerate(page["Records"]):
        try:
            msgspec.convert(record, _Record)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:  # a lone surrogate
            named = _name(record, number)
            message = f"{named} is not of the known shape: {error}"
            raise UnknownRecord(message) from error
    return msgspec.convert(page, _RecordsPage)


def _name(record: object, number: int) -> str:
    """The record as an operator searches for one: by the sequence number or identifier, or the
    place."""
    if isinstance(record, dict):
        change = record.get("dynamodb")
        sequence_number = change.get("SequenceNumber") if isinstance(change, dict) else None
        if isinstance(sequence_number, str) and is_sequence_number(sequence_number):
            return f"record {sequence_number}"
        if isinstance(identifier := record.get("eventID"), str):
            return f"the record with eventID {identifier[:_SHOWN_MAX]!r}"
    return f"record {number + 1} of the page"


def is_sequence_number(text: str) -> bool:
    """True for digits alone, and no more of them than positions hold."""
    return text.isascii() and text.isdigit() and len(text) <= SEQUENCE_DIGITS_MAX


def _record(wire: _Record) -> StreamRecord:
    change = wire.dynamodb
    if not is_sequence_number(change.SequenceNumber):
        event_id = "none" if wire.eventID is None else repr(wire.eventID[:_SHOWN_MAX])
        message = (
            f"the record with eventID {event_id} has no sequence number of at most "
            f"{SEQUENCE_DIGITS_MAX} digits; without it nobody knows its place"
        )
        raise UnknownRecord(message)
    created_at = change.ApproximateCreationDateTime
    if isinstance(created_at, str) or (
        created_at is not None and not 0 <= created_at < _SECONDS_MAX
    ):
        created_at = None  # of another form or unit: as if it were not there
    event = EVENTS.get(wire.eventName)
    if event is None:
        message = (
            f"record {change.SequenceNumber} has the unknown event name "
            f"{wire.eventName[:_SHOWN_MAX]!r}; skipping it could lose a change"
        )
        raise UnknownRecord(message)
    identity = wire.userIdentity
    position, version, letter_id = numbers_of(int(change.SequenceNumber))
    return StreamRecord(
        position,
        version,
        letter_id,
        event,
        change.Keys,
        _image(change.NewImage, change) if event != "remove" else None,
        _image(change.OldImage, change),
        created_at,
        identity is not None and TTL_PRINCIPAL in (identity.PrincipalId, identity.principalId),
    )


def numbers_of(sequence_number: int) -> tuple[Position, Version, LetterId]:
    """Position, version and dead-letter id of a record of DynamoDB Streams: the sequence number is
    all three.
    """
    return Position(sequence_number), Version(sequence_number), LetterId(sequence_number)


def _image(raw: msgspec.Raw, change: _Change) -> memoryview | None:
    view = memoryview(raw)
    if not view:
        return None
    if view[0] == _OBJECT:
        return view
    if view == _NULL:
        return None
    message = f"record {change.SequenceNumber} has an image that is not a JSON object"
    raise UnknownRecord(message)
