"""Values into columns: compiled once, exact or Rejected."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from replicator.core.records import AttributeValue
from replicator.core.spec import OnInvalid, OnNul, TimeFormat, Transform
from replicator.core.values.attributes import TYPES, decode_binary, sorted_members, storable_text
from replicator.core.values.cells import Cell, Conversions, Unfit
from replicator.core.values.column_types import ColumnType
from replicator.core.values.json_text import json_text, shape_fault
from replicator.core.values.numbers import canonical_number, fits_double
from replicator.core.values.timestamps import TIME_TYPES, time_conversions
from replicator.core.values.transforms import transformed
from replicator.errors import ConfigurationError, Rejected

Converter = Callable[[AttributeValue | None], Cell]
_INTEGER_BITS = {"smallint": 16, "integer": 32, "bigint": 64}
_SAFE_DIGITS = {"smallint": 4, "integer": 9, "bigint": 18}  # so few always fit
_is_uuid = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
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
    key: bool = False,
) -> Converter:
    """A function from an attribute's value (None: absent) to the column's cell.

    It raises Rejected, naming attribute and column, for what does not convert exactly, or answers
    None when `on_invalid` is "null". `transform` changes strings first, in this order. `key`
    forbids two texts for one value.
    ConfigurationError where a format or transform does not belong to the type.
    """
    _check_format(column_type, column, time_format)
    conversions = compile_conversions(
        column_type, column=column, time_format=time_format, nul=nul, transform=transform, key=key
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
            place = attribute + unfit.inside
            raise Rejected(unfit.reason, attribute=place, column=column) from error

    return convert


def compile_conversions(
    column_type: ColumnType,
    *,
    column: str,
    time_format: TimeFormat | None = None,
    nul: OnNul = "reject",
    transform: Sequence[Transform] = (),
    key: bool = False,
) -> Conversions:
    """What a column takes; a conversion raises Unfit, or whatever a malformed value makes it."""
    conversions = _conversions(column_type.element, time_format, nul, key=key)
    for name in reversed(transform):
        conversions["S"] = transformed(name, conversions, column_type, column=column, nul=nul)
    if column_type.array:
        conversions = _array_conversions(column_type.element, conversions, plain=not transform)
    conversions["NULL"] = _null
    return conversions


def _check_format(column_type: ColumnType, column: str, time_format: TimeFormat | None) -> None:
    if time_format is not None and column_type.name not in TIME_TYPES:
        message = f"column {column!r} of type {column_type.sql} has the format {time_format!r}"
        remedy = f"drop it: formats belong to {', '.join(TIME_TYPES)}"
        raise ConfigurationError(message, remedy=remedy)


def _unfit(
    error: Exception, value: object, column_type: ColumnType, conversions: Conversions
) -> Unfit:
    """What is wrong with a value whose conversion failed."""
    if isinstance(error, Unfit):
        return error
    match value:
        case dict() if len(value) == 1:
            (tag,) = value
            if tag in TYPES and tag not in conversions:
                hint = " without a format" if tag == "N" and column_type.name in TIME_TYPES else ""
                return Unfit(f"{TYPES[tag]} does not convert to {column_type.sql}{hint}")
    return Unfit(shape_fault(value))


def _conversions(
    column_type: ColumnType, time_format: TimeFormat | None, nul: OnNul, *, key: bool
) -> Conversions:
    match column_type.name:
        case "text":
            return {
                "S": storable_text if nul == "reject" else partial(storable_text, nul=nul),
                "N": canonical_number,
                "BOOL": _boolean,
            }
        case "varchar":
            text = _conversions(ColumnType("text"), None, nul, key=key)
            return {tag: _at_most(column_type, convert) for tag, convert in text.items()}
        case "numeric":
            return {"N": _numeric(*column_type.arguments)}
        case "bigint" | "integer" | "smallint":
            return {"N": _integer(column_type.name)}
        case "double precision":
            return {"N": _double}
        case "boolean":
            return {"BOOL": _boolean}
        case "bytea":
            return {"B": decode_binary}
        case "uuid":
            return {"S": _key_uuid if key else _uuid}
        case "jsonb":
            return {tag: partial(_json, tag, nul) for tag in TYPES}
        case _:
            return {**time_conversions(column_type.name, time_format)}


def _at_most(column_type: ColumnType, convert: Callable[[Any], Cell]) -> Callable[[Any], Cell]:
    if not column_type.arguments:
        return convert
    (length_max,) = column_type.arguments

    def convert_short(raw: str) -> Cell:
        text = convert(raw)
        if text is not None and len(text) > length_max:
            raise Unfit(f"has more than {length_max} characters")
        return text

    return convert_short


def _numeric(precision: int | None = None, scale: int = 0) -> Callable[[str], str]:
    if precision is None:
        return canonical_number
    whole_max = precision - scale

    def convert(raw: str) -> str:
        text = canonical_number(raw)
        whole, _, fraction = text.partition(".")
        if len(fraction) > scale:
            raise Unfit(f"has more than {scale} fraction digits")
        if len(whole) > whole_max and len(whole.lstrip("-0")) > whole_max:
            raise Unfit(f"has more than {whole_max} digits before the point")
        return text

    return convert


def _integer(name: str) -> Callable[[str], str]:
    safe = _SAFE_DIGITS[name]
    limit = 1 << (_INTEGER_BITS[name] - 1)

    def convert(raw: str) -> str:
        text = canonical_number(raw)
        if "." in text:
            raise Unfit("is not an integer")
        if len(text) > safe and (len(text) > safe + 2 or not -limit <= int(text) < limit):
            raise Unfit(f"is outside the range of {name}")
        return text

    return convert


def _double(raw: str) -> str:
    text = canonical_number(raw)
    if not fits_double(text):
        raise Unfit("has more digits than double precision keeps")
    return text


def _boolean(raw: bool) -> str:
    if type(raw) is not bool:
        raise TypeError
    return "true" if raw else "false"


def _uuid(raw: str) -> str:
    if not _is_uuid(raw):
        raise Unfit("is not a UUID of 32 hexadecimal digits with four hyphens")
    return raw.lower()


def _key_uuid(raw: str) -> str:
    if _uuid(raw) != raw:
        raise Unfit("is a UUID with capitals; as a key they could make two items one row")
    return raw


def _json(tag: str, nul: OnNul, raw: object) -> str:
    return json_text({tag: raw}, nul)


def _null(_: object) -> None:
    return None


def _array_conversions(
    element_type: ColumnType, of_element: Conversions, *, plain: bool
) -> Conversions:
    """An array takes the sets whose members its element type takes, and lists of what it takes."""
    conversions: Conversions = {
        tag: partial(_from_set, tag, of_element[tag[0]]) for tag in _SETS if tag[0] in of_element
    }
    conversions["L"] = partial(_from_list, element_type, {**of_element, "NULL": _null})
    if element_type.name == "text" and plain:
        conversions["SS"] = partial(_from_strings, of_element["S"])
    return conversions


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
