"""The types a column can be declared with, as PostgreSQL names them. Pure."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from replicator.core.values.type_table import NAMES, REFUSED, ROWS, Arguments, ColumnTypeRow
from replicator.errors import ConfigurationError

_TYPE = re.compile(
    r"(?P<name>[a-z][a-z0-9 ]*?)"
    r"(?: ?\( ?(?P<arguments>\d{1,9}(?: ?, ?\d{1,9})?) ?\))?(?P<zone> with(?:out)? time zone)?"
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
    def row(self) -> ColumnTypeRow:
        """The row of the type table for this type, or for an array's elements."""
        return ROWS[self.name]

    @property
    def sql(self) -> str:
        """The type as it is written in SQL, `numeric(12,2)` or `text[]`."""
        arguments = f"({','.join(map(str, self.arguments))})" if self.arguments else ""
        return self.name + arguments + ("[]" if self.array else "")

    @property
    def transport(self) -> Literal["text", "bytea"]:
        """Transport of values: bytes for bytea, else text in PostgreSQL's input syntax."""
        return "bytea" if self.name == "bytea" and not self.array else "text"

    def compared(self, expression: str) -> str:
        """SQL over a value: equal exactly when the values are, whatever their type calls equal."""
        return self.row.compared.format(expression)

    def digest(self, expression: str) -> str:
        """SQL over a key's value: one text for equal values, whatever the session is set to."""
        return self.row.digest.format(expression)

    @property
    def element(self) -> "ColumnType":
        """The type of an array's elements."""
        return ColumnType(self.name, self.arguments)


TEXT = ColumnType("text")
INTEGER = ColumnType("integer")
NUMERIC = ColumnType("numeric")
BYTEA = ColumnType("bytea")
JSONB = ColumnType("jsonb")
TIMESTAMPTZ = ColumnType("timestamptz")


def parse_type(text: str) -> ColumnType:
    """The type written as SQL, aliases included; ConfigurationError names the nearest known one."""
    match = _TYPE.fullmatch(" ".join(text.lower().split()))
    name = NAMES.get(match["name"] + (match["zone"] or "")) if match else None
    if match is None or name is None:
        raise _unknown(text)
    numbers = tuple(int(number) for number in (match["arguments"] or "").split(",") if number)
    return ColumnType(name, _arguments(name, numbers, text), array=match["array"] is not None)


def _arguments(name: str, numbers: Arguments, text: str) -> Arguments:
    bounds = ROWS[name].bounds
    arguments = bounds.read(numbers) if bounds is not None else None if numbers else ()
    if arguments is None:
        raise ConfigurationError(
            f"the type {text!r} has arguments that do not fit",
            remedy=bounds.remedy if bounds is not None else f"write {name} alone",
        )
    return arguments


def _unknown(text: str) -> ConfigurationError:
    bare = re.sub(r"[(\[].*", "", " ".join(text.lower().split())).strip()
    if bare in REFUSED:
        reason, remedy = REFUSED[bare]
        return ConfigurationError(f"the type {text!r} is not taken: {reason}", remedy=remedy)
    near = get_close_matches(bare, NAMES, n=1)
    remedy = f"did you mean {NAMES[near[0]]}?" if near else f"use one of {', '.join(sorted(ROWS))}"
    return ConfigurationError(f"the type {text!r} is not known", remedy=remedy)
