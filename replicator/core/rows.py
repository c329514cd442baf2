"""An item's row, cell by cell: each value by the converter of its column. Pure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from replicator.core.cells import Cell
from replicator.core.columns import ColumnType
from replicator.core.conversion import Converter, compile_conversions
from replicator.core.mapping_spec import OnNul, TimeFormat
from replicator.core.records import Image
from replicator.errors import Rejected

Row = tuple[Cell, ...]
RowOf = Callable[[Image, Image], Row]
"""From an item's keys and image to the cells of a row; Rejected."""
TriedRow = Callable[[Image, Image], list[Cell | Rejected]]
"""The same, each cell for itself: what does not convert stands as its reason."""
RestOf = Callable[[Image], str]
"""From an image to the cell of what no column takes; Rejected."""

_ARRAY_TAGS = {"text": "SS", "numeric": "NS", "bytea": "BS"}
_INTEGER_DIGITS = {"smallint": 4, "integer": 9, "bigint": 18}  # so few always fit
_DIGITS_MAX = 19  # on each side of the point; more is possible, but not usual


@dataclass(frozen=True, slots=True)
class Usual:
    """What most values of a column look like: the type tag, and how the cell is made of the rest.

    `conversion` makes the cell, or raises. `are_cells` says of many raw values at once whether it
    would give back every one of them. `alone`: values of other types are not the column's.
    """

    tag: str
    conversion: Callable[[Any], Cell]
    are_cells: Callable[[Sequence[str]], bool] | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One cell of a row: where its value is, and who converts it.

    `usual` None: nothing is known of what the converter does.
    """

    attribute: str
    convert: Converter
    usual: Usual | None = None
    of_key: bool = False


def row_by_steps(steps: Sequence[Step], *, rest_of: RestOf | None, tail: Row) -> RowOf:
    """A function that makes rows: the cells of the steps, of the rest where there is one, the tail.

    It makes every row, and says of every image that makes none why.
    """

    def row(keys: Image, image: Image) -> Row:
        cells = [
            step.convert((keys if step.of_key else image).get(step.attribute)) for step in steps
        ]
        if rest_of is not None:
            cells.append(rest_of(image))
        return (*cells, *tail)

    return row


def tried_by_steps(steps: Sequence[Step], *, rest_of: RestOf | None) -> TriedRow:
    """A function that tries every cell of a row."""

    def tried(keys: Image, image: Image) -> list[Cell | Rejected]:
        cells = [
            _tried(step.convert, (keys if step.of_key else image).get(step.attribute))
            for step in steps
        ]
        if rest_of is not None:
            cells.append(_tried(rest_of, image))
        return cells

    return tried


def _tried(make: Callable[[Any], Cell], value: object) -> Cell | Rejected:
    try:
        return make(value)
    except Rejected as rejection:
        return rejection


def usual_value(
    column_type: ColumnType,
    *,
    column: str,
    time_format: TimeFormat | None = None,
    nul: OnNul = "reject",
    key: bool = False,
) -> Usual:
    """The usual value of a column that `compile_converter` converts with the same arguments."""
    name, arguments = column_type.name, column_type.arguments
    conversions = compile_conversions(
        column_type, column=column, time_format=time_format, nul=nul, key=key
    )
    if column_type.array:
        tag = _ARRAY_TAGS.get(name, "L")
        return Usual(tag, conversions[tag])
    tag = next(iter(conversions))
    are_cells: Callable[[Sequence[str]], bool] | None = None
    match name:
        case "jsonb":
            tag = "M"
        case "text" | "varchar":
            are_cells = _texts(*arguments)
        case "numeric":
            precision, scale = arguments or (2 * _DIGITS_MAX, _DIGITS_MAX)
            are_cells = _numbers(precision - scale, scale)
        case "bigint" | "integer" | "smallint":
            are_cells = _numbers(_INTEGER_DIGITS[name], 0)
        case _:
            pass
    return Usual(tag, conversions[tag], are_cells)


def _texts(length_max: int | None = None) -> Callable[[Sequence[str]], bool]:
    """Whether all are texts that PostgreSQL can hold, of so many characters at most."""

    def are_cells(texts: Sequence[str]) -> bool:
        whole = "".join(texts)
        if "\0" in whole or (
            length_max is not None and max(map(len, texts), default=0) > length_max
        ):
            return False
        try:
            return whole.isascii() or bool(whole.encode())
        except UnicodeEncodeError:
            return False

    return are_cells


def _numbers(whole: int, scale: int) -> Callable[[Sequence[str]], bool]:
    """Whether all are numbers in canonical form, with so many digits at most."""
    wholes = f"[1-9][0-9]{{0,{min(whole, _DIGITS_MAX) - 1}}}" if whole else None
    decimals = f"\\.[0-9]{{0,{min(scale, _DIGITS_MAX) - 1}}}[1-9]" if scale else None
    numbers = ["0"]
    if decimals:
        numbers.insert(0, f"-?0{decimals}")
    if wholes:
        numbers.insert(0, f"-?{wholes}" + (f"(?:{decimals})?" if decimals else ""))
    are_numbers = re.compile(f"(?:(?:{'|'.join(numbers)}),)*+").fullmatch

    def are_cells(texts: Sequence[str]) -> bool:
        whole = ",".join(texts) + ","
        return whole.count(",") == len(texts) and are_numbers(whole) is not None

    return are_cells
