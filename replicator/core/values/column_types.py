"""The types a column can be declared with, as PostgreSQL names them. Pure."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from replicator.errors import ConfigurationError

PRECISION_MAX = 1000  # of numeric
CHARACTERS_MAX = 10_485_760  # of varchar
_NAMES = {
    "bigint": ("int8",),
    "boolean": ("bool",),
    "bytea": (),
    "date": (),
    "double precision": ("float8", "float"),
    "integer": ("int", "int4"),
    "jsonb": (),
    "numeric": ("decimal", "dec"),
    "smallint": ("int2",),
    "text": (),
    "timestamp": ("timestamp without time zone",),
    "timestamptz": ("timestamp with time zone",),
    "uuid": (),
    "varchar": ("character varying",),
}
_KNOWN = {alias: name for name, aliases in _NAMES.items() for alias in (name, *aliases)}
_TYPE = re.compile(
    r"(?P<name>[a-z][a-z0-9 ]*?)"
    r"(?: ?\( ?(?P<arguments>\d{1,9}(?: ?, ?\d{1,9})?) ?\))?"
    r"(?: ?(?P<array>\[ ?\]))?"
)


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A PostgreSQL type under its short canonical name; equal exactly when PostgreSQL's are.

    `arguments` are the length of varchar, or precision and scale of numeric; empty for no bound.
    `array` tells a one-dimensional array of it.
    """

    name: str
    arguments: tuple[int, ...] = ()
    array: bool = False

    @property
    def sql(self) -> str:
        """The type as it is written in SQL, `numeric(12,2)` or `text[]`."""
        arguments = f"({','.join(map(str, self.arguments))})" if self.arguments else ""
        return self.name + arguments + ("[]" if self.array else "")

    @property
    def transport(self) -> Literal["text", "bytea"]:
        """How values are handed over: bytes for bytea, else text in PostgreSQL's input syntax."""
        return "bytea" if self.name == "bytea" and not self.array else "text"

    @property
    def element(self) -> "ColumnType":
        """The type of an array's elements."""
        return ColumnType(self.name, self.arguments)


TEXT = ColumnType("text")
INTEGER = ColumnType("integer")
JSONB = ColumnType("jsonb")
TIMESTAMPTZ = ColumnType("timestamptz")


def parse_type(text: str, *, column: str | None = None) -> ColumnType:
    """The type written as SQL, aliases included; ConfigurationError names the nearest known one.

    `column` is named in the message.
    """
    match = _TYPE.fullmatch(" ".join(text.lower().split()))
    name = _KNOWN.get(match["name"]) if match else None
    if match is None or name is None:
        raise _unknown(text, column)
    numbers = tuple(int(number) for number in (match["arguments"] or "").split(",") if number)
    return ColumnType(
        name, _arguments(name, numbers, text, column), array=match["array"] is not None
    )


def _arguments(
    name: str, numbers: tuple[int, ...], text: str, column: str | None
) -> tuple[int, ...]:
    match name, numbers:
        case _, ():
            return ()
        case "varchar", (length,) if 1 <= length <= CHARACTERS_MAX:
            return (length,)
        case "numeric", (precision,) if 1 <= precision <= PRECISION_MAX:
            return (precision, 0)
        case "numeric", (precision, scale) if 1 <= precision <= PRECISION_MAX:
            if scale <= precision:
                return (precision, scale)
    if name == "varchar":
        remedy = f"write varchar(n) with n from 1 to {CHARACTERS_MAX}, or text"
    elif name == "numeric":
        remedy = f"write numeric, or numeric(p,s) with s <= p <= {PRECISION_MAX}"
    else:
        remedy = f"write {name} alone"
    raise ConfigurationError(
        f"{_subject(column)} {text!r} has arguments that do not fit", remedy=remedy
    )


def _subject(column: str | None) -> str:
    return "the type" if column is None else f"the type of column {column!r},"


def _unknown(text: str, column: str | None) -> ConfigurationError:
    bare = re.sub(r"[(\[].*", "", " ".join(text.lower().split())).strip()
    near = get_close_matches(bare, _KNOWN, n=1)
    remedy = (
        f"did you mean {_KNOWN[near[0]]}?" if near else f"use one of {', '.join(sorted(_NAMES))}"
    )
    return ConfigurationError(f"{_subject(column)} {text!r} is not known", remedy=remedy)
