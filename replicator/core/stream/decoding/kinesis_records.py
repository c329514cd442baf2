"""Records of Kinesis Data Streams for DynamoDB become stream records of one table. Pure.

One change is one record, whose data is JSON: `tableName`, `eventName`, `userIdentity`, and in
`dynamodb` the keys, both images, and the creation time as an integer with the precision. It holds
no sequence number of the table's; that of the record is the place in the Kinesis shard. The
creation time and the images make the version (`order_by_time`).

Precision may change in mid-stream: each record says its own, and one that says none is of
milliseconds. AWS encodes binary values twice in base64, emulators once; which of both a stream
has is configured, and never guessed of a value.
"""

import json
import re
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec

from replicator.core.stream.decoding.dynamodb_records import SEQUENCE_DIGITS_MAX, is_sequence_number
from replicator.core.stream.order_by_time import (
    TypedValue,
    canonical_image,
    version_between,
    version_of,
)
from replicator.core.stream.table_and_shard_facts import ListedShard
from replicator.core.stream_record import (
    EVENTS,
    TTL_PRINCIPAL,
    Event,
    Image,
    LetterId,
    Page,
    Position,
    StreamRecord,
    Version,
    as_ascii,
)
from replicator.errors import UnknownRecord

Base64 = Literal["twice", "once"]
"""Number of encodings of binary values in the JSON of a record."""

EVENT_SOURCE = "aws:dynamodb"
_MARKS = (b'"aws:dynamodb"', b'"ApproximateCreationDateTime"')
"""Text that every record of DynamoDB's has, near the beginning and at the end."""
_MICROS = {"MILLISECOND": 1000, "MICROSECOND": 1}
_MICROS_MIN = 10**15
"""Smallest creation time in microseconds, in the year 2001: a smaller number is of another unit."""
_MICROS_MAX = 10**16
_OBJECT = ord("{")
_NULL = b"null"
_BINARY = re.compile(
    # a tag is followed by its value, and an attribute or a member of that name by an object;
    # inside a string both quotes would be escaped
    rb""""B(?<!\\"B)
        (?: "\s*:\s*"([^"\\]*)"
          | S"\s*:\s*\[([^]"\\]*(?:"[^"\\]*"[^]"\\]*)*)\]
          | S?"\s*:\s*[^{\s] )""",
    re.VERBOSE,
)
_ENCODED = re.compile(rb'"([^"]*)"')
_ELEMENTS = re.compile(rb"""\s*(?:"[^"]*"\s*(?:,\s*"[^"]*"\s*)*)?""")


class _Envelope(msgspec.Struct, gc=False):
    Data: bytes
    SequenceNumber: str


class _Child(msgspec.Struct, gc=False):
    ShardId: str
    ParentShards: list[str]


class _Answer(msgspec.Struct):
    Records: list[_Envelope]
    MillisBehindLatest: int
    NextShardIterator: str | None = None
    ChildShards: list[_Child] | None = None


class _ChangeFields(msgspec.Struct, gc=False, kw_only=True):
    ApproximateCreationDateTime: int
    Keys: dict[str, dict[str, str]]
    ApproximateCreationDateTimePrecision: str = "MILLISECOND"


class _PublishedChange(_ChangeFields, gc=False, kw_only=True):
    NewImage: msgspec.Raw = msgspec.Raw()
    OldImage: msgspec.Raw = msgspec.Raw()


class _Binary(str):
    """A binary value in base64 once, as it is decoded from twice."""

    __slots__ = ()


class _TwiceEncoded(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """`TypedValue` in an image in which binary values are encoded twice."""

    S: str | msgspec.UnsetType = msgspec.UNSET
    N: str | msgspec.UnsetType = msgspec.UNSET
    B: _Binary | msgspec.UnsetType = msgspec.UNSET
    BOOL: bool | msgspec.UnsetType = msgspec.UNSET
    NULL: bool | msgspec.UnsetType = msgspec.UNSET
    SS: set[str] | msgspec.UnsetType = msgspec.UNSET
    NS: set[str] | msgspec.UnsetType = msgspec.UNSET
    BS: set[_Binary] | msgspec.UnsetType = msgspec.UNSET
    M: "dict[str, _TwiceEncoded] | msgspec.UnsetType" = msgspec.UNSET
    L: "list[_TwiceEncoded] | msgspec.UnsetType" = msgspec.UNSET


_Value = TypeVar("_Value", TypedValue, _TwiceEncoded)


class _UsualChange(_ChangeFields, Generic[_Value], gc=False, kw_only=True):
    """A change with images that are items: their digests need them decoded."""

    NewImage: dict[str, _Value] | None = None
    OldImage: dict[str, _Value] | None = None


class _Deleter(msgspec.Struct, gc=False):
    principalId: str | None = None  # noqa: N815 (the wire's name)


class _Head(msgspec.Struct, gc=False):
    """Part of a record that tells its producer; other producers may use the stream too."""

    eventSource: str | None = None  # noqa: N815 (the wire's name)
    tableName: str | None = None  # noqa: N815 (the wire's name)


class _RecordFields(_Head, gc=False, kw_only=True):
    eventName: str  # noqa: N815 (the wire's name)
    userIdentity: _Deleter | None = None  # noqa: N815 (the wire's name)


class _PublishedRecord(_RecordFields, gc=False, kw_only=True):
    dynamodb: _PublishedChange


class _UsualRecord(_RecordFields, Generic[_Value], gc=False, kw_only=True):
    dynamodb: _UsualChange[_Value]


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_record = msgspec.json.Decoder(_PublishedRecord).decode


def _once(_: object, text: str) -> _Binary:
    return _Binary(_layer(text), "ascii")


_decode_once = msgspec.json.Decoder(_UsualRecord[TypedValue]).decode
_decode_twice = msgspec.json.Decoder(_UsualRecord[_TwiceEncoded], dec_hook=_once).decode


@dataclass(frozen=True, slots=True)
class KinesisPage:
    """One answer of GetRecords. `children`: of a shard that has ended. `data_bytes`: of the data
    of its records, which is what Kinesis counts.
    """

    page: Page
    children: tuple[ListedShard, ...]
    data_bytes: int


def decode_kinesis_page(body: bytes, *, table: str, base64: Base64) -> KinesisPage:
    """The answer of GetRecords as records of the table of that name.

    ValueError for what is no such answer. UnknownRecord for a record of DynamoDB's whose meaning
    is not known; what is not DynamoDB's is foreign.
    """
    try:
        wire = _decode_answer(body)
    except RecursionError as error:
        message = "the answer is nested without end"
        raise ValueError(message) from error
    data = [each.Data for each in wire.Records]
    numbers = [each.SequenceNumber for each in wire.Records]
    records = decode_kinesis_records(data, numbers, table=table, base64=base64)
    children = tuple(_listed(child) for child in wire.ChildShards or ())
    page = Page(records, wire.NextShardIterator, len(body), behind=wire.MillisBehindLatest > 0)
    return KinesisPage(page, children, sum(map(len, data)))


def decode_kinesis_records(
    data: Sequence[bytes], sequence_numbers: Sequence[str], *, table: str, base64: Base64
) -> list[StreamRecord]:
    """Records, given as the data and the sequence numbers in the Kinesis shard."""
    return [
        _usual(one, number, table=table, base64=base64)
        or decode_kinesis_record(one, number, table=table, base64=base64)
        for one, number in zip(data, sequence_numbers, strict=True)
    ]


def _usual(data: bytes, sequence_number: str, *, table: str, base64: Base64) -> StreamRecord | None:
    """A record of the table's that holds nothing unusual: parsed once, with images in the form that
    they are digested in. None for any other, such as one with a binary key.
    """
    try:
        wire = (_decode_twice if base64 == "twice" else _decode_once)(data)
        change = wire.dynamodb
        event = EVENTS[wire.eventName]
        micros = (
            change.ApproximateCreationDateTime
            * _MICROS[change.ApproximateCreationDateTimePrecision]
        )
        old = None if change.OldImage is None else canonical_image(change.OldImage)
        new = None if change.NewImage is None else canonical_image(change.NewImage)
    except (msgspec.MsgspecError, LookupError, ValueError, RecursionError):
        return None
    if (
        wire.tableName != table
        or wire.eventSource != EVENT_SOURCE
        or not _MICROS_MIN <= micros < _MICROS_MAX
        or not is_sequence_number(sequence_number)
        or (base64 == "twice" and any("B" in value for value in change.Keys.values()))
    ):
        return None
    if event == "remove":
        new = None
    version = version_between(micros, old, new)
    identity = wire.userIdentity
    return StreamRecord(
        Position(int(sequence_number)),
        version,
        LetterId(version),
        event,
        change.Keys,
        None if new is None else memoryview(new),
        None if old is None else memoryview(old),
        micros / 1_000_000,
        identity is not None and identity.principalId == TTL_PRINCIPAL,
    )


def decode_kinesis_record(
    data: bytes, sequence_number: str, *, table: str, base64: Base64
) -> StreamRecord:
    """One record, of whatever form: the data, and the sequence number in the Kinesis shard."""
    try:
        return _decoded(data, sequence_number, table=table, base64=base64)
    except RecursionError as error:
        what = "is nested hundreds of levels deep, and an item of DynamoDB has 32 at most"
        raise _unknown(sequence_number, what) from error


def _decoded(data: bytes, sequence_number: str, *, table: str, base64: Base64) -> StreamRecord:
    place = _place(sequence_number)
    try:
        wire = _decode_record(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        wire = None
    if wire is None or wire.eventSource != EVENT_SOURCE or wire.tableName != table:
        if table_in(data, sequence_number) != table:
            return _foreign(place, wire)
        wire = _decode_tolerantly(data, sequence_number)
    event = EVENTS.get(wire.eventName)
    if event is None:
        raise _unknown(sequence_number, f"has the unknown event name {wire.eventName[:64]!r}")
    change = wire.dynamodb
    micros = _micros(change, sequence_number)
    keys: Image = change.Keys
    old = _image(change.OldImage, sequence_number)
    new = _image(change.NewImage, sequence_number) if event != "remove" else None
    if base64 == "twice":
        if any("B" in value for value in keys.values()):
            keys = {name: _decoded_once(value, sequence_number) for name, value in keys.items()}
        old, new = _image_once(old, sequence_number), _image_once(new, sequence_number)
    version = version_of(micros, old, new)
    identity = wire.userIdentity
    return StreamRecord(
        place,
        version,
        LetterId(version),
        event,
        keys,
        new,
        old,
        micros / 1_000_000,
        identity is not None and identity.principalId == TTL_PRINCIPAL,
    )


def table_in(data: bytes, sequence_number: str) -> str | None:
    """Name of the DynamoDB table that a record is of; None where it is not DynamoDB's.

    UnknownRecord where DynamoDB's own record names none, or cannot be read.
    """
    try:
        head = _decode_head(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        head = _head_tolerantly(data, sequence_number)
    if head.eventSource != EVENT_SOURCE:
        return None
    if head.tableName is None:
        raise _unknown(sequence_number, "does not say of which table it is (`tableName`)")
    return head.tableName


def _head_tolerantly(data: bytes, sequence_number: str) -> _Head:
    """The head of a record that a strict parser refuses: for a lone surrogate, or as no JSON.

    UnknownRecord for no JSON that has a mark of DynamoDB's, and RecursionError for one nested too
    deeply: it may be a change.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        if not any(mark in data for mark in _MARKS):
            return _Head()
        if isinstance(error, RecursionError):
            raise
        what = "has the marks of a record of DynamoDB's, and is not JSON that can be read"
        raise _unknown(sequence_number, what) from error
    if not isinstance(found, dict):
        return _Head()
    told = [found.get(name) for name in ("eventSource", "tableName")]
    return _Head(*[each if isinstance(each, str) else None for each in told])


def _decode_tolerantly(data: bytes, sequence_number: str) -> _PublishedRecord:
    """Decode a record with lone surrogates: the images are written again as ASCII JSON."""
    try:
        record = json.loads(data)
    except ValueError as error:  # JSON, with a number that has thousands of digits
        raise _unknown(sequence_number, "is not JSON that can be read") from error
    change = record.get("dynamodb")
    for name in ("NewImage", "OldImage") if isinstance(change, dict) else ():
        if change.get(name) is not None:
            change[name] = as_ascii(change[name])
    try:
        return msgspec.convert(record, _PublishedRecord)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise _unknown(sequence_number, f"is not of the known shape: {error}") from error


def _micros(change: _PublishedChange, sequence_number: str) -> int:
    precision = change.ApproximateCreationDateTimePrecision
    unit = _MICROS.get(precision)
    if unit is None:
        raise _unknown(sequence_number, f"has the unknown precision {precision[:64]!r}")
    micros = change.ApproximateCreationDateTime * unit
    if not _MICROS_MIN <= micros < _MICROS_MAX:
        raise _unknown(
            sequence_number,
            f"has a creation time that is none in the precision {precision}: without it nobody "
            "knows the order of an item's changes",
        )
    return micros


def _foreign(place: Position, wire: _PublishedRecord | None) -> StreamRecord:
    """A record of another producer, or of another table of DynamoDB's, which has a time."""
    event: Event = "modify"
    created_at = None
    if wire is not None and wire.eventSource == EVENT_SOURCE:
        event = EVENTS.get(wire.eventName, event)
        unit = _MICROS.get(wire.dynamodb.ApproximateCreationDateTimePrecision, 0)
        micros = wire.dynamodb.ApproximateCreationDateTime * unit
        created_at = micros / 1_000_000 if _MICROS_MIN <= micros < _MICROS_MAX else None
    nothing = Version(0)
    return StreamRecord(
        place, nothing, LetterId(nothing), event, {}, None, None, created_at, foreign=True
    )


def _place(sequence_number: str) -> Position:
    if not is_sequence_number(sequence_number):
        message = (
            f"a record has no sequence number of at most {SEQUENCE_DIGITS_MAX} digits; without it "
            "nobody knows its place"
        )
        raise UnknownRecord(message)
    return Position(int(sequence_number))


def _image(raw: msgspec.Raw, sequence_number: str) -> memoryview | None:
    view = memoryview(raw)
    if not view or view == _NULL:
        return None
    if view[0] != _OBJECT:
        raise _unknown(sequence_number, "has an image that is not a JSON object")
    return view


def _image_once(image: memoryview | None, sequence_number: str) -> memoryview | None:
    """The image with the binary values in base64 once."""
    if image is None:
        return None
    try:
        text, found = _BINARY.subn(_without_layer, image)
    except _UnusualForm:
        return _image_once_by_value(image, sequence_number)
    except ValueError as error:
        raise _not_twice(sequence_number) from error
    return image if found == 0 else memoryview(text)


class _UnusualForm(Exception):
    """The text alone does not tell a binary value: each value must be decoded."""


def _without_layer(found: "re.Match[bytes]") -> bytes:
    """Binary values without one of the two layers of base64; ValueError, _UnusualForm."""
    whole, text, texts = found.group(0, 1, 2)
    if text is not None:
        return whole[: -len(text) - 1] + _layer(text) + b'"'
    if texts is None or _ELEMENTS.fullmatch(texts) is None:
        raise _UnusualForm
    members = _ENCODED.sub(lambda each: b'"%s"' % _layer(each[1]), texts)
    return whole[: -len(texts) - 1] + members + b"]"


def _layer(text: bytes | str) -> bytes:
    """The base64 that base64 holds; ValueError."""
    inner = a2b_base64(text, strict_mode=True)
    a2b_base64(inner, strict_mode=True)
    return inner


def _image_once_by_value(image: memoryview, sequence_number: str) -> memoryview:
    """The image with each value decoded by itself, and written again."""
    try:
        attributes: Any = json.loads(bytes(image))
    except ValueError as error:
        raise _unknown(sequence_number, "has an image that is not JSON") from error
    if not isinstance(attributes, dict):
        return image
    decoded = {name: _decoded_once(value, sequence_number) for name, value in attributes.items()}
    return memoryview(json.dumps(decoded).encode())


def _decoded_once(value: Any, sequence_number: str) -> Any:  # noqa: ANN401 (typed values of the wire)
    """A typed value without one of the two layers of base64."""
    match value:
        case {"B": str(text)} if len(value) == 1:
            return {"B": _layer_of(text, sequence_number)}
        case {"BS": list(texts)} if len(value) == 1:
            return {"BS": [_layer_of(text, sequence_number) for text in texts]}
        case {"M": dict(members)} if len(value) == 1:
            return {"M": {k: _decoded_once(v, sequence_number) for k, v in members.items()}}
        case {"L": list(elements)} if len(value) == 1:
            return {"L": [_decoded_once(each, sequence_number) for each in elements]}
        case _:
            return value


def _layer_of(text: object, sequence_number: str) -> str:
    try:
        return _layer(str(text)).decode("ascii")
    except ValueError as error:
        raise _not_twice(sequence_number) from error


def _not_twice(sequence_number: str) -> UnknownRecord:
    return _unknown(
        sequence_number,
        "has a binary value that is not in base64 twice, as AWS sends it",
        remedy="say `kinesis_base64: once` for an emulator that encodes once",
    )


def _unknown(sequence_number: str, what: str, *, remedy: str | None = None) -> UnknownRecord:
    message = f"record {sequence_number[:SEQUENCE_DIGITS_MAX]} {what}"
    return UnknownRecord(message, remedy=remedy)


def _listed(child: _Child) -> ListedShard:
    parents: list[str | None] = [*child.ParentShards, None, None]
    return ListedShard(child.ShardId, parents[0], closed=False, adjacent_parent_id=parents[1])


def listing_of(answer: Mapping[str, Any]) -> tuple[list[ListedShard], str | None]:
    """A page of ListShards, and the token of the next one."""
    return [_shard(shard) for shard in answer["Shards"]], answer.get("NextToken")


def _shard(shard: Mapping[str, Any]) -> ListedShard:
    numbers = shard.get("SequenceNumberRange", {})
    return ListedShard(
        shard["ShardId"],
        shard.get("ParentShardId") or None,
        closed="EndingSequenceNumber" in numbers,
        adjacent_parent_id=shard.get("AdjacentParentShardId") or None,
    )
