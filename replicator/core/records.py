"""The entries of a stream, addressed and dated; images stay raw JSON until they are needed."""

import json
from typing import Any, Literal, get_args

import msgspec

from replicator.errors import UnknownRecord

Event = Literal["insert", "modify", "remove"]
AttributeValue = dict[str, Any]
"""One typed value as on the wire: {"S": …}, {"N": …}, {"B": base64}, {"M": …}, …"""
Image = dict[str, AttributeValue]

_EVENTS: dict[str, Event] = {event.upper(): event for event in get_args(Event)}
_NULL = b"null"
_TTL_PRINCIPAL = "dynamodb.amazonaws.com"


class StreamRecord(msgspec.Struct, frozen=True, gc=False):
    """One change of one item, in the order the stream published it.

    Images are JSON bytes for `attributes.decode_image`; `new_image` is None for a removal, and for
    any event when the stream's view type does not carry it. `created_at` is epoch seconds, has a
    resolution of a second or worse, may go back between records, and may be absent.
    `expired` tells a TTL deletion.
    """

    sequence_number: int
    event: Event
    keys: Image
    new_image: memoryview | None
    old_image: memoryview | None
    created_at: float | None
    expired: bool = False


class Page(msgspec.Struct, frozen=True):
    """One answer of GetRecords; `next_iterator` is None when the shard has ended."""

    records: list[StreamRecord]
    next_iterator: str | None
    size_bytes: int = 0
    """Of the answer as it came."""


class _Change(msgspec.Struct, gc=False):
    Keys: dict[str, dict[str, str]]
    SequenceNumber: str
    NewImage: msgspec.Raw = msgspec.Raw()
    OldImage: msgspec.Raw = msgspec.Raw()
    ApproximateCreationDateTime: float | None = None


class _Identity(msgspec.Struct, gc=False):
    """The stream API capitalises the names, Lambda does not."""

    PrincipalId: str | None = None
    principalId: str | None = None  # noqa: N815 (the wire's name)


class _Record(msgspec.Struct, gc=False):
    eventName: str  # noqa: N815 (the wire's name)
    dynamodb: _Change
    userIdentity: _Identity | None = None  # noqa: N815 (the wire's name)


class _Page(msgspec.Struct):
    """`Records` is there even in an empty page: without it the answer is something else."""

    Records: list[_Record]
    NextShardIterator: str | None = None


_decode_page = msgspec.json.Decoder(_Page).decode
_decode_records = msgspec.json.Decoder(list[_Record]).decode


def decode_page(body: bytes) -> Page:
    """The records of one GetRecords answer; UnknownRecord where a meaning is not known.

    ValueError for what is no such answer: taken for one, it would end the shard.
    """
    try:
        wire = _decode_page(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        wire = _decode_tolerantly(body)
    return Page([_record(record) for record in wire.Records], wire.NextShardIterator, len(body))


def decode_event(records: bytes) -> list[StreamRecord]:
    """The records of a Lambda event, given as the JSON text of its `Records` list."""
    try:
        wire = _decode_records(records)
    except (msgspec.DecodeError, UnicodeDecodeError):
        wire = _decode_tolerantly(b'{"Records":' + records + b"}").Records
    return [_record(record) for record in wire]


def _decode_tolerantly(body: bytes) -> _Page:
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
                change[name] = msgspec.Raw(json.dumps(change[name]).encode())
    try:
        return msgspec.convert(page, _Page)
    except msgspec.ValidationError as error:
        message = f"a record of the stream is not of the known shape: {error}"
        raise UnknownRecord(message) from error


def _record(wire: _Record) -> StreamRecord:
    change = wire.dynamodb
    event = _EVENTS.get(wire.eventName)
    if event is None:
        message = (
            f"record {change.SequenceNumber} has the unknown event name {wire.eventName!r}; "
            "skipping it could lose a change"
        )
        raise UnknownRecord(message)
    identity = wire.userIdentity
    return StreamRecord(
        int(change.SequenceNumber),
        event,
        change.Keys,
        _image(change.NewImage) if event != "remove" else None,
        _image(change.OldImage),
        change.ApproximateCreationDateTime,
        identity is not None and _TTL_PRINCIPAL in (identity.PrincipalId, identity.principalId),
    )


def _image(raw: msgspec.Raw) -> memoryview | None:
    view = memoryview(raw)
    # every record has two: only what may be `null` is looked at
    return view if len(view) > len(_NULL) or (view and view != _NULL) else None
