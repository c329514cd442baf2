"""Values of types that extensions bring: label paths, string maps and vectors. Pure."""

import re
from collections.abc import Callable
from typing import Any

from replicator.core.stream_record import AttributeValue
from replicator.core.values.canonical_numbers import canonical_number, fits_half, fits_real
from replicator.core.values.cells import Cell, Conversions, Unfit
from replicator.core.values.column_options import OnNul
from replicator.core.values.dynamodb_json import storable_text

LABEL_PATH = "(?:[A-Za-z0-9_-]{1,255}(?:\\.[A-Za-z0-9_-]{1,255})*+)?"
_is_label_path = re.compile(LABEL_PATH).fullmatch


def label_path(text: str) -> str:
    """A path of ltree; a hyphen is in one since PostgreSQL 16."""
    if not _is_label_path(text):
        raise Unfit("is not a path of labels of letters, digits, _ and -, such as top.countries")
    return text


def string_map(nul: OnNul) -> Conversions:
    """Maps of strings and NULL, in the input syntax of hstore, sorted by name."""

    def convert(members: dict[str, AttributeValue]) -> Cell:
        return ",".join(
            f"{_quoted(name, nul)}=>{_member(name, members[name], nul)}" for name in sorted(members)
        )

    return {"M": convert}


def vector(
    dimensions: int | None, fits: Callable[[str], bool], name: str
) -> Callable[[list[AttributeValue]], str]:
    """Lists of numbers that the elements of a vector keep; None: of any length but none."""

    def convert(elements: list[AttributeValue]) -> str:
        if type(elements) is not list:
            raise TypeError
        if len(elements) != (dimensions or len(elements)):
            raise Unfit(f"has {len(elements)} numbers, and the vector {dimensions}")
        if not 1 <= len(elements) <= DIMENSIONS_MAX:
            raise Unfit(f"has {len(elements)} numbers, and a vector 1 to {DIMENSIONS_MAX}")
        return "[" + ",".join([number(place, each) for place, each in enumerate(elements)]) + "]"

    def number(place: int, element: Any) -> str:  # noqa: ANN401 (a wire value)
        if type(element) is not dict or [*element] != ["N"]:
            raise Unfit("is not a number", inside=f"[{place}]")
        try:
            text = canonical_number(element["N"])
        except Unfit as unfit:
            raise Unfit(unfit.reason, inside=f"[{place}]") from unfit
        if not fits(text):
            raise Unfit(f"has more digits than an element of {name} keeps", inside=f"[{place}]")
        return text

    return convert


def real_vector(dimensions: int | None = None) -> Callable[[list[AttributeValue]], str]:
    """Vectors of reals."""
    return vector(dimensions, fits_real, "vector")


def half_vector(dimensions: int | None = None) -> Callable[[list[AttributeValue]], str]:
    """Vectors of half precision."""
    return vector(dimensions, fits_half, "halfvec")


DIMENSIONS_MAX = 16_000  # of vector and of halfvec


def _member(name: str, value: Any, nul: OnNul) -> str:  # noqa: ANN401 (a wire value)
    match value:
        case {"S": str(text), **others} if not others:
            return _quoted(text, nul)
        case {"NULL": _, **others} if not others:
            return "NULL"
        case _:
            raise Unfit("is not a string, and hstore holds strings", inside=f".{name[:100]}")


def _quoted(text: str, nul: OnNul) -> str:
    return '"' + storable_text(text, nul).replace("\\", "\\\\").replace('"', '\\"') + '"'
