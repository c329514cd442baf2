"""DynamoDB's typed values as on the wire, and the images decoded. Pure."""

import json
from binascii import a2b_base64
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from replicator.core.stream_record import Image
from replicator.core.values.canonical_numbers import one_of_many
from replicator.core.values.cells import Unfit
from replicator.core.values.column_options import OnNul
from replicator.errors import UnknownRecord, ValueRejected

TYPES = {
    "S": "a string",
    "N": "a number",
    "B": "binary",
    "BOOL": "a boolean",
    "NULL": "NULL",
    "M": "a map",
    "L": "a list",
    "SS": "a set of strings",
    "NS": "a set of numbers",
    "BS": "a set of binaries",
}
"""DynamoDB's type tags, with words for messages."""

_EMPTY = b"{}"  # in an image the empty map, with its tag or without, or part of a string
_TAGGED = (b':{"M":{}}', b'[{"M":{}}', b',{"M":{}}')  # as member or element of something
_MAP_IN_MAP = b'"M":{"M":{}'  # or a member named M whose empty map has no tag
_LABEL_LENGTH_MAX = 100  # attribute names may have 64 KB
_decode = msgspec.json.Decoder(dict[str, dict[str, Any]]).decode


def decode_image(raw: bytes | memoryview) -> Image:
    """The attributes of an image given as DynamoDB JSON, values as on the wire.

    An empty map without the tag, at any depth, is an empty map: DynamoDB Local writes `{}` for
    `{"M":{}}` into the streams. Lone surrogates pass: only columns refuse such values.
    ValueRejected for an attribute that is no typed value at all, and for nesting that no item has.
    """
    text = bytes(raw)
    try:
        try:
            image = _decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            image = _decode_tolerantly(text)
        if may_lack_tags(text):
            return {name: _with_tag(value) for name, value in image.items()}
    except RecursionError as error:
        raise nested_too_deeply() from error
    return image


def nested_too_deeply() -> ValueRejected:
    """The rejection of an image that is nested as no item of DynamoDB is."""
    return ValueRejected("is nested too deeply", attribute="(the image)", column=None)


def may_lack_tags(text: bytes) -> bool:
    """True if an image, or several joined by what JSON does not hold, may have an untagged `{}`.

    A decoder that does not go through `decode_image` leaves such an image alone.
    """
    if text.rfind(_EMPTY) < 0:  # CPython looks from the end in a third of the time
        return False
    return text.count(_EMPTY) > sum(map(text.count, _TAGGED)) or _MAP_IN_MAP in text


def _with_tag(value: Any) -> Any:  # noqa: ANN401 (inside an image anything may stand)
    match value:
        case dict() if not value:
            return {"M": {}}
        case {"M": dict(members)} if len(value) == 1:
            return {"M": {name: _with_tag(member) for name, member in members.items()}}
        case {"L": list(elements)} if len(value) == 1:
            return {"L": [_with_tag(element) for element in elements]}
        case _:
            return value


def _decode_tolerantly(raw: bytes) -> Image:
    try:
        image = json.loads(raw)
    except ValueError as error:
        raise UnknownRecord("an image of the stream is not JSON") from error
    if not isinstance(image, dict):
        raise UnknownRecord("an image of the stream is not a JSON object")
    for name, value in image.items():
        if not isinstance(value, dict):
            raise ValueRejected("is not a typed value", attribute=label(name), column=None)
    return image


def sorted_members(tag: str, members: list[str]) -> list[str]:
    """The members of a set in the canonical order: code point, number, bytes."""
    if type(members) is not list:
        raise Unfit("is not of the shape of its type")
    if tag == "SS":
        return sorted(members)
    if tag == "NS":
        return sorted([one_of_many(member) for member in members], key=Decimal)
    return sorted(members, key=decode_binary)


def decode_binary(text: str) -> bytes:
    """The bytes of a B value."""
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise Unfit("is not base64") from error


def storable_text(text: str, nul: OnNul = "reject") -> str:
    """The text in a form that PostgreSQL can hold; Unfit for lone surrogates, and for NUL as `nul`
    says."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Unfit("holds a lone surrogate, which is not Unicode text") from error
    return text if "\0" not in text else _NUL_POLICIES[nul](text)


def label(name: str) -> str:
    """An attribute's name in a message: long ones are cut."""
    if len(name) <= _LABEL_LENGTH_MAX:
        return name
    return f"{name[:_LABEL_LENGTH_MAX]}… ({len(name)} characters)"


def _refuse_nul(_: str) -> str:
    raise Unfit("holds a NUL character, which PostgreSQL cannot store")


_NUL_POLICIES: dict[OnNul, Callable[[str], str]] = {
    "reject": _refuse_nul,
    "strip": lambda text: text.replace("\0", ""),
    "replace": lambda text: text.replace("\0", "\ufffd"),
}
