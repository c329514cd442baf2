"""Plain JSON text for jsonb from DynamoDB's typed values, all digits kept. Pure."""

import json
import re
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from json.encoder import encode_basestring as quote
from operator import itemgetter
from typing import Any

import msgspec

from replicator.core.stream_record import AttributeValue, Image
from replicator.core.values.canonical_numbers import one_of_many
from replicator.core.values.cells import Unfit
from replicator.core.values.column_options import OnNul
from replicator.core.values.dynamodb_json import (
    TYPES,
    decode_binary,
    label,
    sorted_members,
    storable_text,
)

Kept = Callable[[Iterable[str]], Iterable[str]]
"""Finds the attributes of an image that are kept."""
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


def objects_alike(images: Sequence[Image]) -> list[str] | None:
    """`json_object` for each of many images with the same attributes of the same types.

    None where one has others, or cannot be stored.
    """
    names = tuple(images[0]) if images else ()
    if not names:
        return None if any(images) else ["{}"] * len(images)
    try:
        if set(map(tuple, images)) != {names}:
            return None
        columns = [_texts_alike([image[name] for image in images]) for name in names]
        members = ",".join([quote(name).replace("%", "%%") + ":%s" for name in names])
        texts = list(map(f"{{{members}}}".__mod__, zip(*columns, strict=True)))
        whole = "".join(texts)
        return texts if (whole.isascii() or whole.encode()) and "\\u0000" not in whole else None
    except (*_MALFORMED, Unfit):
        return None


def _texts_alike(values: Sequence[AttributeValue]) -> list[str]:
    """The JSON of values of one type; ValueError where one has another."""
    [tag] = values[0]
    if sum(map(len, values)) > len(values):
        raise ValueError
    return list(map(_WRITERS[tag], [value[tag] for value in values]))


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
"""Number of values that are joined in one piece."""
PIECE_BYTES = 64 * 1024
"""Bytes of the values in one piece, about: one larger than a cache takes longer to go through."""
HELD_BYTES_MAX = 1024 * 1024
"""Bytes of surroundings that a function of `object_texts` keeps for the next images."""
_ENTRY_BYTES, _PIECE_BYTES, _PLACE_BYTES = 320, 48, 40
"""Bytes of one kept surroundings beside the text, of a piece of that text, and of a scalar that is
not kept, about."""

_BETWEEN, _SCALAR = b"\x1f", b"\x1e"  # no valid JSON holds them
_ESCAPE = rb'\\(?:["\\/bfnrt]|u00(?:0[1-7bef]|1[0-9a-f]))'
_STRING = rb'"[^"\\\x00-\x1f]*+(?:%(escape)s[^"\\\x00-\x1f]*+)*+"' % {b"escape": _ESCAPE}
_NAME = rb'"[^"\\}\]\x00-\x1f]*+(?:[}\]](?!\})[^"\\}\]\x00-\x1f]*+)*+"'
_FRACTION = rb"\.[0-9]{0,38}+(?<=[1-9])"
_NUMBER = rb"(?:-?+(?:[1-9][0-9]{0,37}+(?:%(f)s)?+|0%(f)s)|0)" % {b"f": _FRACTION}
_SIXTH = rb"[A-Za-z0-9+/]"
_BINARY = rb"(?:%(b)s{64})*+(?:%(b)s{4})*+(?:%(b)s{2}==|%(b)s{3}=)?" % {b"b": _SIXTH}
_SCALARS = (
    rb"""\{"(?:S":(?=")|N":"(?=[-0-9])|BOOL":(?=[tf])|SS":(?=\[)|B":(?="%(binary)s"\})|(?=[NB]S":\[))"""
    rb"""(%(string)s|%(number)s|true|false|\[%(string)s(?:,%(string)s)*+\]"""  # what is kept
    rb"""|NS":\["%(number)s"(?:,"%(number)s")*+\]|BS":\["%(binary)s"(?:,"%(binary)s")*+\])"?\}"""
    % {b"number": _NUMBER, b"binary": _BINARY, b"string": b"%(string)s"}
)
_at_scalars = re.compile(_SCALARS % {b"string": _STRING}).split
_UNICODE_ESCAPE, _ESCAPED_BACKSLASH = rb"\u", rb"\\"
_SIMPLE = rb'"[^"]*+(?:(?<=\\)"[^"]*+)*+"'
_at_simple_scalars = re.compile(_SCALARS % {b"string": _SIMPLE}).split
"""Scalars of valid JSON without escapes of Unicode and escaped backslashes, so that a backslash
before a quote always escapes the quote: to look for the next quote is several times faster than to
look at each character."""
_BACKSLASH = b"\\"
_at_plain_scalars = re.compile(_SCALARS % {b"string": rb'"[^"]*+"'}).split
"""Scalars of valid JSON without any backslash, so that a string ends at the next quote."""
_is_usual = re.compile(
    rb"""(?:\x1e|,|%s:|\{"M":\{|\}\}|\{"L":\[|\]\}|\{"NULL":true\})*+""" % _NAME
).fullmatch
_set_marks = re.compile(rb"[\[BN]").finditer  # how sets begin among the scalars that are kept
_MEMBERS, _BINARIES = b"[B"
_FLOAT_DIGITS = 15
"""A float keeps so many digits, and orders numbers that have no more."""
_IN_SET = len('NS":["')
_IN_SETS = b'S":["'
_first = itemgetter(0)
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
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
    return _texts(typed, _Surroundings())


def object_texts(kept: Kept) -> Callable[[Sequence[bytes | memoryview]], list[str | None]]:
    """A function that makes the plain JSON of images, as `plain_texts` does of values.

    `kept` finds among the attributes of an image those that are in its JSON.
    """
    known = _Surroundings(kept)

    def texts(images: Sequence[bytes | memoryview]) -> list[str | None]:
        found = _texts(images, known)
        known.keep_few()
        return found

    return texts


_Pieces = tuple[bytes, Sequence[bytes]]
"""The text around the scalars of a value, in pieces: what is before the first scalar, with a
separator of values in front, and all others."""


class _Surroundings(dict[bytes, "_Pieces | None"]):
    """Texts around the scalars of values: the plain text by the typed one, None for an unusual one.

    Items of a table are much alike: thousands of values have a few surroundings.
    """

    __slots__ = ("_held_bytes", "kept", "leaves_out", "left_out")

    def __init__(self, kept: Kept | None = None) -> None:
        """`kept`: the values are images, of which some attributes are kept."""
        super().__init__()
        self.kept = kept
        self.left_out: dict[bytes, tuple[int, Sequence[int]]] = {}
        """By the typed surroundings of images the number of scalars, and the places of scalars in
        attributes that are not kept."""
        self.leaves_out = False
        """True where some attribute is not kept."""
        self._held_bytes = 0

    def __missing__(self, typed: bytes) -> _Pieces | None:
        whole = typed if self.kept is None else b'{"M":%s}' % typed
        plain = _without_types(whole) if _is_usual(whole) else None
        if self.kept is not None:
            places: Sequence[int] = ()
            if plain is not None:
                plain, places = _without_members(plain, self.kept)
            self.left_out[typed] = typed.count(_SCALAR), places
            self.leaves_out |= bool(places)
            self._held_bytes += _PLACE_BYTES * len(places)
        pieces = self[typed] = None if plain is None else _pieces(plain)
        self._held_bytes += len(typed) + _ENTRY_BYTES
        if plain is not None:
            self._held_bytes += len(plain) + _PIECE_BYTES * plain.count(_SCALAR)
        return pieces

    def keep_few(self) -> None:
        """Forget all kept surroundings where there are too many: the items are not alike."""
        if self._held_bytes > HELD_BYTES_MAX:
            self.clear()
            self.left_out.clear()
            self._held_bytes = 0


def _texts(typed: Sequence[bytes | memoryview], known: _Surroundings) -> list[str | None]:
    texts: list[str | None] = []
    if typed:
        each = sum(map(len, typed)) // len(typed)
        at_once = min(VALUES_AT_ONCE, PIECE_BYTES // (each + 1) + 1)
        for start in range(0, len(typed), at_once):
            texts += _plain(typed[start : start + at_once], known)
    return texts


def _plain(typed: Sequence[bytes | memoryview], known: _Surroundings) -> list[str | None]:
    """Plain texts of typed values; None where one needs decoding.

    The surroundings of an unusual value stay unchanged, and its text is left out in the end.
    """
    whole = _BETWEEN.join(typed)
    parts = _split_at_scalars(whole)
    surroundings = _SCALAR.join(parts[::2]).split(_BETWEEN)
    pieces, odd = [b""], []
    for place, plain in enumerate(map(known.__getitem__, surroundings)):
        if plain is None:
            odd.append(place)
        first, others = _pieces(surroundings[place]) if plain is None else plain
        pieces[-1] += first
        pieces += others
    parts[::2] = pieces
    try:
        if _IN_SETS in whole:
            _sort_sets(parts)
        if known.leaves_out:
            _leave_out(parts, surroundings, known)
        _, *texts = b"".join(parts).decode().split("\x1f")
    except UnicodeError:  # in a set a surrogate that is not escaped is told by encoding
        if len(typed) == 1:
            return [None]
        half = len(typed) // 2
        return [*_plain(typed[:half], known), *_plain(typed[half:], known)]
    found: list[str | None] = [*texts]
    for place in odd:
        found[place] = None
    return found


def _split_at_scalars(whole: bytes) -> list[bytes]:
    """The text around the scalars and the scalars, in turn."""
    if _BACKSLASH not in whole:
        return _at_plain_scalars(whole)
    if _UNICODE_ESCAPE in whole or _ESCAPED_BACKSLASH in whole:
        return _at_scalars(whole)
    return _at_simple_scalars(whole)


def _pieces(text: bytes) -> _Pieces:
    first, *others = text.split(_SCALAR)
    return _BETWEEN + first, others


def _without_types(structure: bytes) -> bytes:
    for typed, plain in _PLAIN:
        structure = structure.replace(typed, plain)
    return structure


def _without_members(plain: bytes, kept: Kept) -> tuple[bytes | None, Sequence[int]]:
    """The surroundings of an object with the members that are kept, and the places of the scalars
    in others; None where that cannot be told.

    The marks of these scalars stay, so that scalars and marks are as many.
    """
    try:
        members = _decode_members(plain.replace(_SCALAR, b"0"))  # valid JSON, and as long
    except (ValueError, RecursionError):
        return None, ()
    stay = frozenset(kept(members))
    if len(stay) == len(members):
        return plain, ()
    left: list[bytes] = []
    places: list[int] = []
    marks, start, scalars = b"", 1, 0
    for name, value in members.items():
        end = start + len(name.encode()) + len('"":') + len(value)
        count = plain.count(_SCALAR, start, end)
        if name in stay:
            left.append(marks + plain[start:end])
            marks = b""
        else:
            marks += _SCALAR * count
            places += range(scalars, scalars + count)
        start, scalars = end + 1, scalars + count
    if members and start != len(plain):  # a name came twice
        return None, ()
    return b"{%s%s}" % (b",".join(left), marks), places


def _leave_out(parts: list[bytes], surroundings: Sequence[bytes], known: _Surroundings) -> None:
    """Empty the scalars of attributes that are not kept."""
    first, left_out = 1, known.left_out
    for each in surroundings:
        scalars, places = left_out[each]
        for place in places:
            parts[first + 2 * place] = b""
        first += 2 * scalars


def _sort_sets(parts: list[bytes]) -> None:
    """Put the members of sets into the order."""
    for found in _set_marks(bytes(map(_first, parts[1::2]))):
        place = 2 * found.start() + 1
        parts[place] = _sorted_set(parts[place])


def _sorted_set(scalar: bytes) -> bytes:
    if scalar[0] == _MEMBERS and b"\\" in scalar:
        return f"[{','.join(map(quote, sorted(json.loads(scalar))))}]".encode()
    if scalar[0] == _MEMBERS:
        return b'["%s"]' % b'","'.join(sorted(scalar[2:-2].split(b'","')))
    members = scalar[_IN_SET:-2].split(b'","')
    if scalar[0] == _BINARIES:
        return b'["%s"]' % b'","'.join(sorted(members, key=a2b_base64))
    if max(map(len, members)) <= _FLOAT_DIGITS:
        return b"[%s]" % b",".join(sorted(members, key=float))
    return f"[{','.join(sorted_members('NS', list(map(bytes.decode, members))))}]".encode()
