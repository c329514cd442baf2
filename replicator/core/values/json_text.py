"""Plain JSON text for jsonb from DynamoDB's typed values, all digits kept. Pure."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from json.encoder import encode_basestring as quote
from typing import Any, cast

from replicator.core.records import AttributeValue, Image
from replicator.core.values.attributes import (
    TYPES,
    decode_binary,
    label,
    sorted_members,
    storable_text,
)
from replicator.core.values.canonical_numbers import one_of_many
from replicator.core.values.cells import Unfit
from replicator.core.values.column_options import OnNul

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
    """A JSON object of the given attributes; `inside` of Unfit begins with the attribute's name."""
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
    """The reason why a value is no typed value."""
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
    """The value with NUL characters handled, in names too."""
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
    "N": one_of_many,
    "B": _write_binary,
    "BOOL": _write_boolean,
    "NULL": lambda _: "null",
    "M": _write_map,
    "L": _write_list,
    "SS": lambda raw: "[" + ",".join([quote(text) for text in sorted_members("SS", raw)]) + "]",
    "NS": lambda raw: "[" + ",".join(sorted_members("NS", raw)) + "]",
    "BS": lambda raw: "[" + ",".join([quote(text) for text in sorted_members("BS", raw)]) + "]",
}


VALUES_AT_ONCE = 64
"""Values joined in one piece."""

_BETWEEN, _SCALAR = b"\x1f", b"\x1e"  # no valid JSON holds them
_ESCAPE = rb'\\(?:["\\/bfnrt]|u00(?:0[1-7bef]|1[0-9a-f]))'
_STRING = rb'"[^"\\\x00-\x1f]*+(?:%(escape)s[^"\\\x00-\x1f]*+)*+"' % {b"escape": _ESCAPE}
_NAME = rb'"[^"\\}\]\x00-\x1f]*+(?:[}\]](?!\})[^"\\}\]\x00-\x1f]*+)*+"'
_NUMBER = rb"(?:-?(?:[1-9][0-9]{0,37}+(?:\.[0-9]{0,37}[1-9])?|0\.[0-9]{0,37}[1-9])|0)"
_SIXTH = rb"[A-Za-z0-9+/]"
_BINARY = rb"(?:%(b)s{64})*+(?:%(b)s{4})*+(?:%(b)s{2}==|%(b)s{3}=)?" % {b"b": _SIXTH}
_at_scalars = re.compile(
    rb"""\{"(?:S":(?=")|N":"(?=[-0-9])|BOOL":(?=[tf])|SS":(?=\[)|B":(?="%(binary)s"\})|(?=[NB]S":\[))"""
    rb"""(%(string)s|%(number)s|true|false|\[%(string)s(?:,%(string)s)*+\]"""  # what is kept
    rb"""|NS":\["%(number)s"(?:,"%(number)s")*+\]|BS":\["%(binary)s"(?:,"%(binary)s")*+\])"?\}"""
    % {b"number": _NUMBER, b"binary": _BINARY, b"string": _STRING}
).split
_is_usual = re.compile(
    rb"""(?:\x1e|,|%s:|\{"M":\{|\}\}|\{"L":\[|\]\}|\{"NULL":true\})*+""" % _NAME
).fullmatch
_MEMBERS, _BINARIES, _NUMBERS = b"[BN"  # how sets begin among the scalars that are kept
_IN_SET = len('NS":["')
_PLAIN = (
    *((b'{"NULL":true}', b"null"), (b'{"L":[', b"["), (b"]}", b"]")),
    *((b'{"M":{', b"{"), (b"}}", b"}")),
)


def plain_texts(typed: Sequence[bytes | memoryview]) -> list[str | None]:
    """The plain JSON of typed values, each given as valid JSON; None where decoding is needed:

    for another shape than DynamoDB sends, for most escapes of Unicode, for numbers that are not in
    canonical form, and for names with escapes or brackets that look like the end of a map.

    A quote inside a string would be escaped, so that what begins with `{"` is never inside one.
    """
    texts: list[str | None] = []
    plain_of: dict[bytes, bytes | None] = {}
    for start in range(0, len(typed), VALUES_AT_ONCE):
        texts += _plain(typed[start : start + VALUES_AT_ONCE], plain_of)
    return texts


def _plain(
    typed: Sequence[bytes | memoryview], plain_of: dict[bytes, bytes | None]
) -> list[str | None]:
    """Plain texts of typed values; None where one needs decoding.

    `plain_of` holds what is around scalars, typed and plain: items of a table are much alike. The
    surroundings of an unusual value stay unchanged, and the text is left out in the end.
    """
    parts = _at_scalars(_BETWEEN.join(typed))
    structures = _SCALAR.join(parts[::2]).split(_BETWEEN)
    for structure in set(structures) - plain_of.keys():
        plain_of[structure] = _without_types(structure) if _is_usual(structure) else None
    plain = [plain_of[each] for each in structures]
    odd = [place for place, each in enumerate(plain) if each is None] if None in plain else ()
    parts[::2] = _BETWEEN.join(
        [structures[place] if each is None else each for place, each in enumerate(plain)]
        if odd
        else cast("list[bytes]", plain)
    ).split(_SCALAR)
    try:
        _sort_sets(parts)
        texts: list[str | None] = [*b"".join(parts).decode().split("\x1f")]
    except UnicodeDecodeError:
        if len(typed) == 1:
            return [None]
        half = len(typed) // 2
        return [*_plain(typed[:half], plain_of), *_plain(typed[half:], plain_of)]
    for place in odd:
        texts[place] = None
    return texts


def _without_types(structure: bytes) -> bytes:
    for typed, plain in _PLAIN:
        structure = structure.replace(typed, plain)
    return structure


def _sort_sets(parts: list[bytes]) -> None:
    """Put the members of sets into the order."""
    for place, scalar in enumerate(parts[1::2]):
        first = scalar[0]
        if first == _MEMBERS:
            if b"\\" in scalar:
                members = sorted(json.loads(scalar))
                parts[2 * place + 1] = f"[{','.join(map(quote, members))}]".encode()
            else:
                parts[2 * place + 1] = (
                    b'["' + b'","'.join(sorted(scalar[2:-2].split(b'","'))) + b'"]'
                )
        elif first in (_NUMBERS, _BINARIES):
            tag = scalar[:2].decode()
            found = sorted_members(tag, scalar[_IN_SET:-2].decode().split('","'))
            between, quoted = (",", "") if first == _NUMBERS else ('","', '"')
            parts[2 * place + 1] = f"[{quoted}{between.join(found)}{quoted}]".encode()
