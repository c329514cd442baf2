"""Puts pydantic's errors into words for a person."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic_core import ErrorDetails

from replicator.config.masked_dsn import mask_dsn
from replicator.config.mistakes import KeyPath, dotted
from replicator.config.settings_keys import field_at, fields_of, group_at, keys_outside_tables

_SECRET = ("dsn", "password", "secret")
_KEY = "[key]"  # pydantic's word for "not the value, its key"
_SHOWN_LENGTH_MAX = 60

Fault = tuple[str, str | None]
"""A fault and the remedy."""
ErrorContext = Mapping[str, Any]


def path_of(error: ErrorDetails) -> KeyPath:
    """The key that an error is about."""
    return tuple(step for step in error["loc"] if step != _KEY)


def fault_of(error: ErrorDetails) -> Fault:
    """The fault behind a validation error, without any secret."""
    path, context = path_of(error), error.get("ctx", {})
    if error["type"] == "replicator":
        return str(context.get("message", error["msg"])), context.get("remedy")
    translate = _WORDS.get(error["type"])
    if translate is None:
        return error["msg"].lower(), None
    fault, remedy = translate(path, context)
    if error["type"] in _QUOTING:
        fault += _found(path, error.get("input"))
    return fault, remedy


def _missing(path: KeyPath, _: ErrorContext) -> Fault:
    field = field_at(path)
    example = field.examples[0] if field is not None and field.examples else "…"
    return "is missing", f"add `{path[-1]}: {example}`"


def _unknown(path: KeyPath, _: ErrorContext) -> Fault:
    name, group = str(path[-1]), group_at(path[:-1])
    siblings = list(fields_of(group)) if group else []
    near = get_close_matches(name.lower(), siblings, n=1)
    if near:
        return "is not a known key", f"did you mean `{near[0]}`?"
    elsewhere = [dotted(place) for place in _places() if place[-1] == name]
    if elsewhere:
        return "is not a known key", f"there is `{elsewhere[0]}`"
    return "is not a known key", f"known here: {', '.join(siblings)}"


@cache
def _places() -> tuple[KeyPath, ...]:
    return tuple(place for place, _ in keys_outside_tables())


def _word(_: KeyPath, context: ErrorContext) -> Fault:
    words = re.findall(r"'([^']*)'", context["expected"]) or [context["expected"]]
    choice = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
    return f"must be {choice}", None


def _form(path: KeyPath, _: ErrorContext) -> Fault:
    field = field_at(path)
    if field is not None and field.examples:
        return "is not of the right form", f"write it like `{field.examples[0]}`"
    return "is not of the right form", "use letters, digits, dots, dashes and underscores"


def _found(path: KeyPath, value: object) -> str:
    if any(word in dotted(path) for word in _SECRET):
        return ""
    match value:
        case bool():
            return f", not {str(value).lower()}"
        case str() if len(value) <= _SHOWN_LENGTH_MAX:
            return f", not {mask_dsn(value)!r}"
        case int() | float() | Decimal():
            return f", not {value}"
        case dict():
            return ", not a mapping"
        case list():
            return ", not a list"
        case None:
            return ", not empty"
        case _:
            return ""


def _says(fault: str, remedy: str | None = None) -> Callable[[KeyPath, ErrorContext], Fault]:
    return lambda _path, context: (fault.format_map(context), remedy)


_MAPPING = _says("must be a mapping", "write `key: value` lines below it, indented")
_TEXT = _says("must be text", "put it in quotes")
_WHOLE = _says("must be a whole number")
_NUMBER = _says("must be a number")
_BOOLEAN = _says("must be true or false")
_WORDS: dict[str, Callable[[KeyPath, ErrorContext], Fault]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _word,
    "string_pattern_mismatch": _form,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dict_type": _MAPPING,
    "string_type": _TEXT,
    "path_type": _TEXT,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "greater_than_equal": _says("must be at least {ge:g}"),
    "less_than_equal": _says("must be at most {le:g}"),
    "too_short": _says("is empty", "add at least one entry, or leave the key out"),
    "string_too_short": _says("is too short", "write at least {min_length} characters"),
    "string_too_long": _says("is too long"),
}
_QUOTING = set(_WORDS) - {
    "missing",
    "extra_forbidden",
    "too_short",
    "string_too_short",
    "string_too_long",
}
