"""DynamoDB's typed JSON into plain JSON, the values of many items in one piece, as bytes. Pure.

`plain_json` does the same from decoded values, and says what is wrong with them. Here one
expression finds the scalars, and another makes sure that nothing but maps and lists is around
them, so that what is to be taken away can be searched for as text.
"""

import re
from collections.abc import Sequence

VALUES_AT_ONCE = 64
"""What is not as usual spoils the others of its piece: they are tried again one by one."""

_BETWEEN, _SCALAR = b"\x1f", b"\x1e"  # no valid JSON holds them
_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\["\\/bfnrt][^"\\\x00-\x1f]*+)*+"'
_NAME = rb'"[^"\\{}\[\]\x00-\x1f]*+"'
_NUMBER = rb"-?(?:[1-9][0-9]{0,37}+(?:\.[0-9]{0,37}[1-9])?|0\.[0-9]{0,37}[1-9])|0"
_SIXTH = rb"[A-Za-z0-9+/]"
_BINARY = rb"(?:%(b)s{64})*+(?:%(b)s{4})*+(?:%(b)s{2}==|%(b)s{3}=)?" % {b"b": _SIXTH}
_at_scalars = re.compile(
    rb"""\{"(?:S":(?=")|N":"(?=[-0-9])|BOOL":(?=[tf])|SS":(?=\[)|B":(?="%(binary)s"\}))"""
    rb"""(%(string)s|%(number)s|true|false|\[%(string)s(?:,%(string)s)*+\])"?\}"""  # what is kept
    % {b"number": _NUMBER, b"binary": _BINARY, b"string": _STRING}
).split
_is_usual = re.compile(
    rb"""(?:\x1e|,|%s:|\{"M":\{|\}\}|\{"L":\[|\]\}|\{"NULL":true\})*+""" % _NAME
).fullmatch
_BRACKET = ord("[")
_PLAIN = (
    *((b'{"NULL":true}', b"null"), (b'{"L":[', b"["), (b"]}", b"]")),
    *((b'{"M":{', b"{"), (b"}}", b"}")),
)


def plain_texts(typed: Sequence[bytes | memoryview]) -> list[str | None]:
    """The plain JSON of typed values, each given as valid JSON; None where it must be decoded.

    That is so for what is not of the shape DynamoDB sends, for most escapes, for sets of numbers
    and binaries, for numbers that are not in canonical form, and for names with brackets.

    A quote inside a string would be escaped, so that what begins with `{"` is never inside one.
    """
    texts: list[str | None] = []
    plain_of: dict[bytes, bytes] = {}
    for start in range(0, len(typed), VALUES_AT_ONCE):
        piece = typed[start : start + VALUES_AT_ONCE]
        found = _plain(piece, plain_of)
        if found is None:
            texts += [(_plain((value,), plain_of) or (None,))[0] for value in piece]
        else:
            texts += found
    return texts


def _plain(typed: Sequence[bytes | memoryview], plain_of: dict[bytes, bytes]) -> list[str] | None:
    """The same; None where one of them must be decoded.

    `plain_of` holds what is around scalars, typed and plain: items of a table are much alike.
    """
    whole = _BETWEEN.join(typed)
    parts = _at_scalars(whole)
    structures = _SCALAR.join(parts[::2]).split(_BETWEEN)
    for structure in set(structures) - plain_of.keys():
        if not _is_usual(structure):
            return None
        plain_of[structure] = _without_types(structure)
    if b'{"SS":' in whole and not _sort_sets(parts):
        return None
    parts[::2] = _BETWEEN.join([plain_of[each] for each in structures]).split(_SCALAR)
    try:
        texts = b"".join(parts).decode().split("\x1f")
    except UnicodeDecodeError:
        return None
    return texts if len(texts) == len(typed) else None


def _without_types(structure: bytes) -> bytes:
    for typed, plain in _PLAIN:
        structure = structure.replace(typed, plain)
    return structure


def _sort_sets(parts: list[bytes]) -> bool:
    """Put the members of sets into their order; False where that needs decoding."""
    for place, scalar in enumerate(parts[1::2]):
        if scalar[0] == _BRACKET:
            if b"\\" in scalar:
                return False
            members = scalar[2:-2].split(b'","')
            parts[2 * place + 1] = b'["' + b'","'.join(sorted(members)) + b'"]'
    return True
