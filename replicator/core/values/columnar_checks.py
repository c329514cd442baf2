"""Many values of a column at once: all converted with one check, where possible. Pure."""

import re
from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Any

from replicator.core.values.cells import Cell

ColumnarCheck = Callable[[Sequence[Any]], Sequence[Cell] | None]
"""From the raw values of one type to the cells; None where each must be converted by itself."""

_DIGITS_MAX = 19  # on each side of the point; more is possible, but not usual
DAY = (  # the 29th of February is left to the calendar
    r"(?!0000)[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_HOST_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4 = rf"(?:{_HOST_BYTE}\.){{3}}{_HOST_BYTE}"
MAC = "[0-9a-f]{2}(?::[0-9a-f]{2}){5}"
UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
OFFSET = "(?:Z|[+-](?:0[0-9]|1[0-5]):[0-5][0-9])"


def clock(digits: int = 6) -> str:
    """The pattern of times of day with so many digits of a second at most."""
    fraction = f"(?:\\.[0-9]{{1,{digits}}})?" if digits else ""
    return f"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]{fraction}"


def texts(length_max: int | None = None) -> ColumnarCheck:
    """Texts that PostgreSQL can hold, of so many characters at most."""

    def cells(raws: Sequence[str]) -> Sequence[Cell] | None:
        whole = "".join(raws)
        if "\0" in whole or (length_max is not None and max(map(len, raws)) > length_max):
            return None
        try:
            return raws if whole.isascii() or whole.encode() else None
        except UnicodeEncodeError:
            return None

    return cells


def unpadded(length_max: int) -> ColumnarCheck:
    """A check of lengths that also rejects a trailing space."""
    plain = texts(length_max)

    def cells(raws: Sequence[str]) -> Sequence[Cell] | None:
        return None if any(raw[-1:] == " " for raw in raws) else plain(raws)

    return cells


def matching(pattern: str, cut: re.Pattern[str] | None = None) -> ColumnarCheck:
    """Texts that are cells unchanged, or without what matches `cut`.

    Neither pattern may match a comma.
    """
    are_cells = re.compile(f"(?:(?:{pattern}),)*+").fullmatch

    def cells(raws: Sequence[str]) -> Sequence[Cell] | None:
        whole = ",".join(raws) + ","
        if whole.count(",") != len(raws):
            return None
        if are_cells(whole):
            return raws
        shorter = whole if cut is None else cut.sub("", whole)
        return shorter.split(",")[:-1] if shorter != whole and are_cells(shorter) else None

    return cells


def numeric(precision: int = 2 * _DIGITS_MAX, scale: int = _DIGITS_MAX) -> str:
    """The pattern of numbers of so many digits in canonical form, `scale` behind the point."""
    return number(precision - scale, scale)


def number(whole: int, scale: int) -> str:
    """The pattern of numbers in canonical form, with so many digits at most on each side."""
    wholes = f"[1-9][0-9]{{0,{min(whole, _DIGITS_MAX) - 1}}}" if whole else None
    decimals = f"\\.[0-9]{{0,{min(scale, _DIGITS_MAX) - 1}}}[1-9]" if scale else None
    numbers = ["0"]
    if decimals:
        numbers.insert(0, f"-?0{decimals}")
    if wholes:
        numbers.insert(0, f"-?{wholes}" + (f"(?:{decimals})?" if decimals else ""))
    return "|".join(numbers)


def booleans(raws: Sequence[bool]) -> Sequence[Cell]:
    """Cells of boolean values."""
    return ["true" if raw else "false" for raw in raws]


def string_sets(sets: Sequence[list[str]]) -> Sequence[Cell] | None:
    """Sets of strings in which nothing must be escaped, as arrays."""
    inside = ['","'.join(sorted(members)) for members in sets]
    whole = "".join(inside)
    if not all(sets) or not whole.isascii() or "\0" in whole or "\\" in whole:
        return None
    if whole.count('"') != 2 * (sum(map(len, sets)) - len(sets)):
        return None
    return [f'{{"{members}"}}' for members in inside]


def lists(tag: str, check: ColumnarCheck) -> ColumnarCheck:
    """Lists of values of one type, as arrays, in which nothing must be escaped."""
    kind = bool if tag == "BOOL" else str

    def cells(raws: Sequence[list[dict[str, Any]]]) -> Sequence[Cell] | None:
        elements = list(chain.from_iterable(raws))
        try:
            members = [element[tag] for element in elements]
        except KeyError:
            return None
        if sum(map(len, elements)) > len(members) or set(map(type, members)) - {kind}:
            return None
        made = check(members) if members else []
        if made is None:
            return None
        texts = [cell for cell in made if isinstance(cell, str)]
        whole = "".join(texts)
        if len(texts) < len(members) or '"' in whole or "\\" in whole:
            return None
        each = iter(texts)
        return ['{"' + '","'.join(islice(each, len(raw))) + '"}' if raw else "{}" for raw in raws]

    return cells
