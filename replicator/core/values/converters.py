"""Converters of a column's values, compiled once: each is exact or raises ValueRejected.

Usual values have one shape, so that many of a column are converted together (`columnar_rows`).
"""

from collections.abc import Callable, Sequence
from functools import partial

from replicator.core.stream_record import AttributeValue
from replicator.core.values.canonical_numbers import canonical_number, one_of_many
from replicator.core.values.cells import Cell, Conversions, Unfit
from replicator.core.values.column_options import (
    Fraction,
    OnInvalid,
    OnNul,
    TimeFormat,
    Transform,
    Words,
)
from replicator.core.values.column_types import TIMED, ColumnType, Reading, numeric_pattern
from replicator.core.values.columnar_cells import ColumnarCheck, Usual, lists, matching
from replicator.core.values.dynamodb_json import TYPES, label, sorted_members
from replicator.core.values.json_text import shape_fault
from replicator.core.values.string_transforms import transformed, word_conversions
from replicator.errors import ConfigurationError, ValueRejected

Converter = Callable[[AttributeValue | None], Cell]
_SETS = ("SS", "NS", "BS")
_MALFORMED = (AttributeError, KeyError, TypeError, ValueError)


def compile_converter(
    column_type: ColumnType,
    *,
    attribute: str,
    column: str,
    time_format: TimeFormat | None = None,
    on_invalid: OnInvalid = "reject",
    nul: OnNul = "reject",
    transform: Sequence[Transform] = (),
    words: Words = (),
    fraction: Fraction = "reject",
    key: bool = False,
) -> Converter:
    """A function from an attribute's value (None: absent) to the column's cell.

    Raises ValueRejected, naming attribute and column, for a value that does not convert exactly, or
    answers None when `on_invalid` is "null". `transform` changes strings first, in order;
    `words` are for the `boolean`, and `fraction` for times. `key` forbids two texts for one value.
    ConfigurationError where a format or transform does not belong to the type.
    """
    _check_format(column_type, column, time_format)
    conversions = compile_conversions(
        column_type,
        column=column,
        time_format=time_format,
        nul=nul,
        transform=transform,
        words=words,
        fraction=fraction,
        key=key,
    )

    def convert(value: AttributeValue | None) -> Cell:
        if value is None:
            return None
        try:
            (tag,) = value
            return conversions[tag](value[tag])
        except _MALFORMED as error:
            if on_invalid == "null":
                return None
            unfit = _unfit(error, value, column_type, conversions)
            place = label(attribute) + unfit.inside
            raise ValueRejected(unfit.reason, attribute=place, column=column) from error

    return convert


def compile_conversions(
    column_type: ColumnType,
    *,
    column: str,
    time_format: TimeFormat | None = None,
    nul: OnNul = "reject",
    transform: Sequence[Transform] = (),
    words: Words = (),
    fraction: Fraction = "reject",
    key: bool = False,
) -> Conversions:
    """Conversions of a column by type tag; each raises Unfit, or any error on a malformed value."""
    conversions = column_type.row.convert(
        Reading(column_type.arguments, time_format, nul, key, fraction)
    )
    if column_type.array and "N" in conversions:
        conversions["N"] = partial(_one_of_many, conversions["N"])
    for name in reversed(transform):
        if name == "boolean":
            conversions |= word_conversions(words, column_type, column=column)
        else:
            conversions["S"] = transformed(name, conversions, column_type, column=column, nul=nul)
    if column_type.array:
        conversions = _array_conversions(column_type.element, conversions, plain=not transform)
    conversions["NULL"] = _null
    return conversions


def usual_value(
    column_type: ColumnType,
    *,
    column: str,
    time_format: TimeFormat | None = None,
    nul: OnNul = "reject",
    key: bool = False,
    fraction: Fraction = "reject",
) -> Usual | None:
    """The usual value of a column that `compile_converter` converts with the same arguments.

    None where the converter must make every cell.
    """
    row = column_type.row
    if row.one_text:
        return None
    conversions = compile_conversions(
        column_type, column=column, time_format=time_format, nul=nul, key=key, fraction=fraction
    )
    reading = Reading(column_type.arguments, fraction=fraction)
    check = None if row.check is None else row.check(reading)
    checks: dict[str, ColumnarCheck | None] = {}
    if column_type.array:
        usual = row.set_tag
        checks[usual] = row.set_check
        if check is not None:
            checks["L"] = lists(row.tag, check)
    else:
        usual = row.tag if row.tag in conversions else next(iter(conversions))
        if usual == row.tag:  # a format may ask for another one
            checks[usual] = check
        if usual != "N" and conversions.get("N") is canonical_number:
            checks["N"] = matching(numeric_pattern())
    if row.tag == "M":  # any type, as JSON
        return Usual(usual, conversions[usual], checks.get(usual))
    others = tuple(
        Usual(tag, conversion, checks.get(tag))
        for tag, conversion in conversions.items()
        if tag not in (usual, "NULL")
    )
    return Usual(usual, conversions[usual], checks.get(usual), others=others)


def _check_format(column_type: ColumnType, column: str, time_format: TimeFormat | None) -> None:
    if time_format is not None and not column_type.row.timed:
        message = f"column {column!r} of type {column_type.label} has the format {time_format!r}"
        remedy = f"drop it: formats belong to {', '.join(TIMED)}"
        raise ConfigurationError(message, remedy=remedy)


def _unfit(
    error: Exception, value: object, column_type: ColumnType, conversions: Conversions
) -> Unfit:
    """The reason why a value did not convert."""
    if isinstance(error, Unfit):
        return error
    match value:
        case dict() if len(value) == 1:
            (tag,) = value
            if tag in TYPES and tag not in conversions:
                hint = " without a format" if tag == "N" and column_type.row.timed else ""
                return Unfit(f"{TYPES[tag]} does not convert to {column_type.label}{hint}")
    return Unfit(shape_fault(value))


def _null(_: object) -> None:
    return None


def _array_conversions(
    element_type: ColumnType, of_element: Conversions, *, plain: bool
) -> Conversions:
    """An array takes sets of members, and lists of values, that the element type takes."""
    conversions: Conversions = {
        tag: partial(_from_set, tag, of_element[tag[0]]) for tag in _SETS if tag[0] in of_element
    }
    conversions["L"] = partial(_from_list, element_type, {**of_element, "NULL": _null})
    if element_type.name == "text" and plain:
        conversions["SS"] = partial(_from_strings, of_element["S"])
    return conversions


def _one_of_many(convert: Callable[[str], Cell], raw: str) -> Cell:
    """The number as an element: an array of short numbers with huge exponents is refused."""
    one_of_many(raw)
    return convert(raw)


def _from_set(tag: str, convert: Callable[[str], Cell], members: list[str]) -> str:
    return array_literal([convert(member) for member in sorted_members(tag, members)])


def _from_strings(convert: Callable[[str], Cell], members: list[str]) -> str:
    """The usual set needs no look at each member."""
    between = '","'.join(sorted_members("SS", members))
    plain = between.isascii() and "\0" not in between and "\\" not in between
    if members and plain and between.count('"') == 2 * len(members) - 2:
        return f'{{"{between}"}}'
    return _from_set("SS", convert, members)


def _from_list(
    element_type: ColumnType, of_element: Conversions, elements: list[AttributeValue]
) -> str:
    if type(elements) is not list:
        raise TypeError
    cells: list[Cell] = []
    for index, element in enumerate(elements):
        try:
            (tag,) = element
            cells.append(of_element[tag](element[tag]))
        except _MALFORMED as error:
            unfit = _unfit(error, element, element_type, of_element)
            raise Unfit(unfit.reason, inside=f"[{index}]{unfit.inside}") from error
    return array_literal(cells)


def array_literal(cells: Sequence[Cell]) -> str:
    """A one-dimensional array in PostgreSQL's input syntax; every element is quoted."""
    return "{" + ",".join([_element(cell) for cell in cells]) + "}"


def _element(cell: Cell) -> str:
    if cell is None:
        return "NULL"
    if isinstance(cell, bytes):
        return f'"\\\\x{cell.hex()}"'
    if "\\" in cell or '"' in cell:
        cell = cell.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{cell}"'
