"""The record of a stream, addressed and dated: one change of one item, images still raw JSON."""

import json
from typing import Any, Literal, NewType, get_args

import msgspec

Event = Literal["insert", "modify", "remove"]
AttributeValue = dict[str, Any]
"""One typed value as on the wire: {"S": …}, {"N": …}, {"B": base64}, {"M": …}, …"""
Image = dict[str, AttributeValue]

Position = NewType("Position", int)
"""Place of a record in the shard, up to which reading went. Positions of one shard grow; positions
of two shards are not comparable. Up to 60 digits."""
Version = NewType("Version", int)
"""Orders the changes of one item within one stream: the higher one is the newer. Up to 60 digits.
"""
LetterId = NewType("LetterId", int)
"""Tells the dead letters of one item and target apart, and orders such dead letters by the versions
of changes: a stream's change has the version; an item of a scan has 0 or less, and no other
order."""

NOWHERE = Position(0)
"""The position of records that were not read from a shard."""
SCANNED = Version(0)
"""The version of an item that a scan read: older than every change of a stream."""

EVENTS: dict[str, Event] = {event.upper(): event for event in get_args(Event)}
TOO_DEEP = "a record is nested hundreds of levels deep, and an item of DynamoDB has 32 at most"
TTL_PRINCIPAL = "dynamodb.amazonaws.com"
"""Principal that deletes items whose time to live has passed."""


class StreamRecord(msgspec.Struct, frozen=True, gc=False):
    """One change of one item, in the order the stream published it.

    Images are JSON bytes for `dynamodb_json.decode_image`; `new_image` is None for a removal, and
    for any event when the stream's view type does not carry it. `created_at` is epoch seconds, has
    a resolution of a second or worse, may go back between records, and may be absent; in another
    form or unit than seconds it counts as absent.
    `expired` tells a TTL deletion. `foreign`: the record is of another table, or of none, in a
    stream that several share; it has no keys, and is counted as filtered.
    """

    position: Position
    version: Version
    letter_id: LetterId
    event: Event
    keys: Image
    new_image: memoryview | None
    old_image: memoryview | None
    created_at: float | None
    expired: bool = False
    foreign: bool = False


class Page(msgspec.Struct, frozen=True):
    """One answer of GetRecords; `next_iterator` is None when the shard has ended."""

    records: list[StreamRecord]
    next_iterator: str | None
    size_bytes: int = 0
    """Size of the answer in bytes."""
    behind: bool | None = None
    """True where the source says that the shard holds more, False where the shard holds no more for
    now. None where the source says neither, as DynamoDB Streams."""


def as_ascii(value: object) -> msgspec.Raw:
    """A value of the wire as ASCII JSON, in which lone surrogates stay escaped."""
    return msgspec.Raw(json.dumps(value).encode())
