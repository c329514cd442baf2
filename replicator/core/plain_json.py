"""DynamoDB's typed values as plain JSON text for jsonb, all digits kept."""

from collections.abc import Callable, Iterator
from json.encoder import encode_basestring as quote
from typing import Any

from replicator.core.attributes import (
    TYPES,
    decode_binary,
    label,
    sorted_members,
    storable_text,
)
from replicator.core.decimals import canonical_number
from replicator.core.mapping_spec import OnNul
from replicator.core.records import AttributeValue, Image
from replicator.core.unfit import Unfit

_MALFORMED = (AttributeError, KeyError, TypeError, ValueError, RecursionError)


def json_text(value: AttributeValue, nul: OnNul = "reject") -> str:
    """The value as JSON that jsonb takes: numbers with all digits, B as base64, sets sorted.

    `nul` says what becomes of NUL in strings and names. Unfit names the way to the value at fault.
    """
    try:
        text = _write(value)
        if (text.isascii() or text.encode()) and "\\u0000" not in text:
            return text
    except _MALFORMED:
        pass
    return _write_with_care(value, nul)


def json_object(attributes: Image, nul: OnNul = "reject") -> str:
    """A JSON object of these attributes; `inside` of Unfit begins with the attribute's name."""
    return json_text({"M": attributes}, nul)


def fault(value: object, nul: OnNul = "reject", inside: str = "") -> Unfit | None:
    """The first thing in the value that cannot be stored, or None."""
    if not isinstance(value, dict) or len(value) != 1:
        return Unfit(shape_fault(value), inside=inside)
    [(tag, raw)] = value.items()
    if tag in ("M", "L") and isinstance(raw, dict if tag == "M" else list):
        return next(_faults_within(raw, nul, inside), None)
    try:
        for text in raw if tag == "SS" else (raw,) if tag == "S" else ():
            storable_text(text, nul)
        _WRITERS[tag](raw)
    except Unfit as unfit:
        return Unfit(unfit.reason, inside=inside)
    except _MALFORMED:
        return Unfit(shape_fault(value), inside=inside)
    return None


def shape_fault(value: object) -> str:
    """Why this is no typed value."""
    match value:
        case dict() if not value:
            return "has no type tag"
        case dict() if len(value) > 1:
            return "has more than one type tag"
        case dict() if next(iter(value)) not in TYPES:
            return "has an unknown type tag"
        case _:
            return "is not of the shape of its type"


def _faults_within(raw: dict[str, Any] | list[Any], nul: OnNul, inside: str) -> Iterator[Unfit]:
    if isinstance(raw, list):
        for index, element in enumerate(raw):
            if found := fault(element, nul, f"{inside}[{index}]"):
                yield found
        return
    for name, member in raw.items():
        path = f"{inside}.{label(name)}"
        try:
            storable_text(name, nul)
        except Unfit as unfit:
            yield Unfit(f"the name {unfit.reason}", inside=path)
        if found := fault(member, nul, path):
            yield found


def _write_with_care(value: AttributeValue, nul: OnNul) -> str:
    try:
        if found := fault(value, nul):
            raise found
        return _write(_without_nul(value, nul))
    except RecursionError as error:
        raise Unfit("is nested too deeply") from error


def _without_nul(value: AttributeValue, nul: OnNul) -> AttributeValue:
    """The same value with the NUL characters handled, in names too."""
    [(tag, raw)] = value.items()
    match tag:
        case "S":
            return {"S": storable_text(raw, nul)}
        case "SS":
            return {"SS": [storable_text(member, nul) for member in raw]}
        case "L":
            return {"L": [_without_nul(element, nul) for element in raw]}
        case "M":
            named = {storable_text(name, nul): _without_nul(raw[name], nul) for name in raw}
            if len(named) < len(raw):
                raise Unfit("holds names that differ only by NUL characters")
            return {"M": named}
        case _:
            return value


def _write(value: AttributeValue) -> str:
    (tag,) = value
    return _WRITERS[tag](value[tag])


def _write_map(members: dict[str, AttributeValue]) -> str:
    written = []
    for name, value in members.items():  # no call of _write: this loop is most of the cost
        (tag,) = value
        written.append(f"{quote(name)}:{_WRITERS[tag](value[tag])}")
    return "{" + ",".join(written) + "}"


def _write_list(elements: list[AttributeValue]) -> str:
    if type(elements) is not list:
        raise TypeError
    return "[" + ",".join([_write(element) for element in elements]) + "]"


def _write_binary(raw: str) -> str:
    decode_binary(raw)
    return quote(raw)


def _write_boolean(raw: bool) -> str:
    if type(raw) is not bool:
        raise TypeError
    return "true" if raw else "false"


_WRITERS: dict[str, Callable[[Any], str]] = {
    "S": quote,
    "N": canonical_number,
    "B": _write_binary,
    "BOOL": _write_boolean,
    "NULL": lambda _: "null",
    "M": _write_map,
    "L": _write_list,
    "SS": lambda raw: "[" + ",".join([quote(text) for text in sorted_members("SS", raw)]) + "]",
    "NS": lambda raw: "[" + ",".join(sorted_members("NS", raw)) + "]",
    "BS": lambda raw: "[" + ",".join([quote(text) for text in sorted_members("BS", raw)]) + "]",
}
