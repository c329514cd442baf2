"""Pages of Scan and BatchGetItem with raw JSON images, and the read units used. Pure."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from replicator.core.mapping.item_keys import item_key_json
from replicator.core.stream_record import TOO_DEEP, Image, as_ascii
from replicator.core.table_spec import KeyType, SourceKey
from replicator.core.values.dynamodb_json import decode_binary
from replicator.errors import UnknownRecord

BYTES_PER_READ_UNIT = 4096  # of a consistent read
KEY_BYTES_MAX = (2048, 1024)  # of a partition key, of a sort key
DIGITS_MAX = 38

Wire = TypeVar("Wire", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Segment:
    """One of the segments of a table that are scanned beside each other: `number` from 0."""

    number: int
    of: int


@dataclass(frozen=True, slots=True)
class ScanPage:
    """One answer of Scan. Images are JSON bytes for `dynamodb_json.decode_image`.

    `last_key` resumes behind the page: JSON text in ASCII, None when the segment has ended. A page
    may be empty and yet not be the last one.
    """

    images: list[memoryview]
    last_key: str | None
    read_units: float


@dataclass(frozen=True, slots=True)
class FoundItems:
    """One answer of BatchGetItem: what exists of the items asked for, in no order.

    `unprocessed` holds the keys that DynamoDB put off: which must be asked for again.
    """

    images: list[memoryview]
    unprocessed: list[Image]
    read_units: float


class _Capacity(msgspec.Struct):
    CapacityUnits: float = 0.0


class _ScanAnswer(msgspec.Struct):
    """Even an empty page has `Items`: an answer without would empty the target."""

    Items: list[msgspec.Raw]
    LastEvaluatedKey: msgspec.Raw = msgspec.Raw()
    ConsumedCapacity: _Capacity | None = None


class _Unprocessed(msgspec.Struct):
    Keys: list[dict[str, dict[str, Any]]] = []


class _GetAnswer(msgspec.Struct):
    """`Responses` is there even where nothing was found, for the same reason."""

    Responses: dict[str, list[msgspec.Raw]]
    UnprocessedKeys: dict[str, _Unprocessed] = {}
    ConsumedCapacity: list[_Capacity] | None = None


def decode_scan(body: bytes) -> ScanPage:
    """A Scan's answer; ValueError for another, UnknownRecord for one nested too deeply."""
    answer = _decode(body, _ScanAnswer)
    last_key = bytes(answer.LastEvaluatedKey)
    return ScanPage(
        [memoryview(item) for item in answer.Items],
        json.dumps(json.loads(last_key)) if last_key not in (b"", b"null") else None,
        _read_units([answer.ConsumedCapacity], body),
    )


def decode_found(body: bytes) -> FoundItems:
    """A BatchGetItem's answer for one table; it fails as `decode_scan`."""
    answer = _decode(body, _GetAnswer)
    return FoundItems(
        [memoryview(item) for items in answer.Responses.values() for item in items],
        [keys for table in answer.UnprocessedKeys.values() for keys in table.Keys],
        _read_units(answer.ConsumedCapacity or [], body),
    )


def may_exist(keys: Image, source_key: SourceKey) -> bool:
    """True when DynamoDB could hold an item with the key; DynamoDB refuses requests with
    other keys.
    """
    return all(
        _is_key_value(keys[name][tag], tag, limit)
        for (name, tag), limit in zip(source_key.attributes, KEY_BYTES_MAX, strict=False)
    )


def _is_key_value(raw: str, tag: KeyType, bytes_max: int) -> bool:
    match tag:
        case "S":
            return 0 < len(raw.encode("utf-8", "surrogatepass")) <= bytes_max
        case "B":
            return 0 < len(decode_binary(raw)) <= bytes_max
        case "N":
            number = Decimal(raw)
            digits = len(str(int("".join(map(str, number.as_tuple().digits)))).rstrip("0"))
            return not number or (digits <= DIGITS_MAX and -131 < number.adjusted() < 126)


def item_identity(image: Image, source_key: SourceKey) -> str:
    """The identity of the item behind an image, in the form of `dynamodb_json.item_key_json`."""
    return item_key_json(keys_of(image, source_key), source_key)


def keys_of(image: Image, source_key: SourceKey) -> Image:
    """The key attributes of an image."""
    return {name: image[name] for name, _ in source_key.attributes if name in image}


def _decode(body: bytes, shape: type[Wire]) -> Wire:
    try:
        try:
            return msgspec.json.decode(body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _decode_tolerantly(body, shape)
    except RecursionError as error:
        raise UnknownRecord(TOO_DEEP) from error


def _decode_tolerantly(body: bytes, shape: type[Wire]) -> Wire:
    """Decode an answer with lone surrogates: a strict parser refuses all of it for one string.

    Items are written again as ASCII JSON, so that only the items concerned are rejected later.
    """
    answer = json.loads(body)
    if not isinstance(answer, dict):
        message = "the answer is no JSON object"
        raise ValueError(message)  # noqa: TRY004 (a value of the wire, not an argument)
    if "LastEvaluatedKey" in answer:
        answer["LastEvaluatedKey"] = as_ascii(answer["LastEvaluatedKey"])
    if isinstance(answer.get("Items"), list):
        answer["Items"] = [as_ascii(item) for item in answer["Items"]]
    if isinstance(answer.get("Responses"), dict):
        answer["Responses"] = {
            table: [as_ascii(item) for item in items] if isinstance(items, list) else items
            for table, items in answer["Responses"].items()
        }
    return msgspec.convert(answer, shape)


def _read_units(told: Iterable[_Capacity | None], body: bytes) -> float:
    """Read units of an answer; where the answer has none, a lower bound from the size of the
    body."""
    units = sum(capacity.CapacityUnits for capacity in told if capacity is not None)
    return units or float(-(-len(body) // BYTES_PER_READ_UNIT))
