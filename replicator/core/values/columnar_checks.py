"""Many values of a column at once: what all of them become, where that takes one look. Pure."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from replicator.core.values.cells import Cell
from replicator.core.values.column_types import ColumnType

Together = Callable[[Sequence[Any]], Sequence[Cell] | None]
"""From the raw values of one type to their cells; None where each must be converted by itself."""

_INTEGER_DIGITS = {"smallint": 4, "integer": 9, "bigint": 18}  # so few always fit
_DIGITS_MAX = 19  # on each side of the point; more is possible, but not usual
_DAY = (  # the 29th of February is left to the calendar
    r"(?!0000)[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_CLOCK = r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"


def cells_together(column_type: ColumnType, tag: str) -> Together | None:
    """What makes the cells of a column's values of this type, None where nothing does."""
    name, arguments = column_type.name, column_type.arguments
    match name, tag:
        case "text", "SS" if column_type.array:
            return _sets
        case _ if column_type.array:
            return None
        case (("text" | "varchar"), "S"):
            return _texts(*arguments)
        case "numeric", "N":
            precision, scale = arguments or (2 * _DIGITS_MAX, _DIGITS_MAX)
            return _matching(_number(precision - scale, scale))
        case (("bigint" | "integer" | "smallint"), "N"):
            return _matching(_number(_INTEGER_DIGITS[name], 0))
        case "timestamptz", "S":
            return _matching(_DAY + _CLOCK + "Z")
        case "timestamp", "S":
            return _matching(_DAY + _CLOCK)
        case "boolean", "BOOL":
            return lambda raws: ["true" if raw else "false" for raw in raws]
        case _:
            return None


def _texts(length_max: int | None = None) -> Together:
    """Texts that PostgreSQL can hold, of so many characters at most."""

    def cells(texts: Sequence[str]) -> Sequence[Cell] | None:
        whole = "".join(texts)
        if "\0" in whole or (length_max is not None and max(map(len, texts)) > length_max):
            return None
        try:
            return texts if whole.isascii() or whole.encode() else None
        except UnicodeEncodeError:
            return None

    return cells


def _matching(pattern: str) -> Together:
    """Texts that are cells as they are; the pattern must not match a comma."""
    are_cells = re.compile(f"(?:(?:{pattern}),)*+").fullmatch

    def cells(texts: Sequence[str]) -> Sequence[Cell] | None:
        whole = ",".join(texts) + ","
        return texts if whole.count(",") == len(texts) and are_cells(whole) else None

    return cells


def _number(whole: int, scale: int) -> str:
    """A number in canonical form, with so many digits at most."""
    wholes = f"[1-9][0-9]{{0,{min(whole, _DIGITS_MAX) - 1}}}" if whole else None
    decimals = f"\\.[0-9]{{0,{min(scale, _DIGITS_MAX) - 1}}}[1-9]" if scale else None
    numbers = ["0"]
    if decimals:
        numbers.insert(0, f"-?0{decimals}")
    if wholes:
        numbers.insert(0, f"-?{wholes}" + (f"(?:{decimals})?" if decimals else ""))
    return "|".join(numbers)


def _sets(sets: Sequence[list[str]]) -> Sequence[Cell] | None:
    """Sets of strings in which nothing must be escaped, as arrays."""
    inside = ['","'.join(sorted(members)) for members in sets]
    whole = "".join(inside)
    if not all(sets) or not whole.isascii() or "\0" in whole or "\\" in whole:
        return None
    if whole.count('"') != 2 * (sum(map(len, sets)) - len(sets)):
        return None
    return [f'{{"{members}"}}' for members in inside]
