"""Small changes to a string before it is converted: declared by a column, and pure."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from replicator.core.stream_record import AttributeValue
from replicator.core.values.canonical_numbers import canonical_number
from replicator.core.values.cells import Cell, Conversions, Unfit
from replicator.core.values.column_options import OnNul, Transform, Words
from replicator.core.values.column_types import ColumnType
from replicator.core.values.json_text import json_text
from replicator.errors import ConfigurationError

_TEXTS: dict[Transform, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "trim": str.strip,
}


class _Number(str):
    """The text of a number, unchanged."""

    __slots__ = ()


def transformed(
    name: Transform, conversions: Conversions, column_type: ColumnType, *, column: str, nul: OnNul
) -> Callable[[str], Cell]:
    """A conversion that transforms a string first; ConfigurationError."""
    source = {"number": "N", "json": "S"}.get(name, "S")
    fits = source in conversions and (name != "json" or column_type.row.json)
    if not fits:
        wants = {"number": "a number type", "json": "the type jsonb or json"}.get(name, "strings")
        raise ConfigurationError(
            f"column {column!r} of type {column_type.label} has the transform {name!r}",
            remedy=f"drop it, or give the column a type that goes with it: it needs {wants}",
        )
    convert = conversions[source]
    if name == "json":
        return partial(_from_json, nul)
    if name == "number":
        return convert
    if name == "empty_null":
        return lambda text: None if _text(text) == "" else convert(text)
    change = _TEXTS[name]
    return lambda text: convert(change(_text(text)))


def word_conversions(words: Words, column_type: ColumnType, *, column: str) -> Conversions:
    """Conversions of the strings and numbers that stand for true and false; ConfigurationError."""
    said = {value for _, value in words}
    if column_type.row.tag != "BOOL" or said != {True, False}:
        raise ConfigurationError(
            f"column {column!r} of type {column_type.sql} has the transform 'boolean'"
            + (" without words for true and for false" if len(said) < 2 else ""),
            remedy="it needs the type boolean and words such as `words: {Y: true, N: false}`",
        )
    cells: dict[str, Cell] = {word: "true" if value else "false" for word, value in words}

    def of_text(text: str) -> Cell:
        if _text(text) not in cells:
            raise Unfit("is none of the words for true and false")
        return cells[text]

    return {"S": of_text, "N": lambda raw: of_text(canonical_number(raw))}


def _text(raw: Any) -> str:  # noqa: ANN401 (what a wire value is must be seen first)
    if type(raw) is not str:
        raise TypeError
    return raw


def _from_json(nul: OnNul, text: str) -> str:
    try:
        value = json.loads(
            _text(text), parse_int=_Number, parse_float=_Number, parse_constant=_refuse
        )
        return json_text(_typed(value), nul)
    except RecursionError as error:
        raise Unfit("is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise Unfit("is not JSON text") from error


def _refuse(_: str) -> None:
    raise Unfit("is not JSON text")


def _typed(value: object) -> AttributeValue:
    match value:
        case _Number():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case None:
            return {"NULL": True}
        case list():
            return {"L": [_typed(element) for element in value]}
        case dict():
            return {"M": {name: _typed(member) for name, member in value.items()}}
        case _:
            raise TypeError
