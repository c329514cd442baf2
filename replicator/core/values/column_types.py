"""The types a column can be declared with, by PostgreSQL's names. Pure."""

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

from replicator.core.values.type_table import ENUM, NAMES, REFUSED, ROWS, Arguments, ColumnTypeRow
from replicator.errors import ConfigurationError

_TYPE = re.compile(
    r"(?P<name>[a-z][a-z0-9 ]*?)"
    r"(?: ?\( ?(?P<arguments>\d{1,9}(?: ?, ?\d{1,9})?) ?\))?(?P<zone> with(?:out)? time zone)?"
    r"(?: ?(?P<array>\[ ?\]))?"
)


_NAME = r'(?:[a-z_][a-z0-9_$]*|"(?:[^"]|"")+")'
_QUALIFIED = re.compile(
    rf"(?P<schema>{_NAME})\.(?P<name>{_NAME})"
    r"(?: ?\( ?(?P<arguments>\d{1,9}) ?\))?(?: ?(?P<array>\[ ?\]))?",
    re.IGNORECASE,
)
_EXTENDED = {name for name, row in ROWS.items() if row.extension is not None}
USUAL_SCHEMA = "public"
"""Default schema of the types of extensions."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A PostgreSQL type under the short canonical name; equal exactly when PostgreSQL's types are.

    `arguments` are the length of varchar, or precision and scale of numeric; empty for no bound.
    `array` tells a one-dimensional array. `schema` None: PostgreSQL's own type; the type of an
    extension and an enum type are in a schema, so that no search path decides on the meaning.
    """

    name: str
    arguments: tuple[int, ...] = ()
    array: bool = False
    schema: str | None = None

    @property
    def row(self) -> ColumnTypeRow:
        """The row of the type table for the type, or for an array's elements."""
        return ROWS[self.name] if self.schema is None or self.name in _EXTENDED else ENUM

    @property
    def sql(self) -> str:
        """The type in SQL, `numeric(12,2)`, `text[]` or `"public"."mood"`."""
        if self.schema is None:
            return self._written(self.name)
        return self._written(f"{_quoted(self.schema)}.{_quoted(self.name)}")

    @property
    def label(self) -> str:
        """The type as written in a configuration."""
        usual = self.schema is None or (self.schema == USUAL_SCHEMA and self.row is not ENUM)
        return self._written(self.name if usual else f"{self.schema}.{self.name}")

    @property
    def asked(self) -> str:
        """The type, in SQL, that a given cell is taken for where only compared."""
        name = self.row.asked_as
        return self.sql if name is None else replace(self, name=name, schema=None).sql

    def _written(self, name: str) -> str:
        arguments = f"({','.join(map(str, self.arguments))})" if self.arguments else ""
        return name + arguments + ("[]" if self.array else "")

    @property
    def transport(self) -> Literal["text", "bytea"]:
        """Transport of values: bytes for bytea, else text in PostgreSQL's input syntax."""
        return "bytea" if self.name == "bytea" and not self.array else "text"

    def compared(self, expression: str) -> str:
        """SQL over a value: equal exactly when the values are, whatever the type calls equal."""
        return self.row.compared.format(expression)

    def digest(self, expression: str) -> str:
        """SQL over a key's value: one text for equal values, whatever the session is set to."""
        return self.row.digest.format(expression)

    @property
    def element(self) -> "ColumnType":
        """The type of an array's elements."""
        return replace(self, array=False)


TEXT = ColumnType("text")
INTEGER = ColumnType("integer")
NUMERIC = ColumnType("numeric")
BYTEA = ColumnType("bytea")
JSONB = ColumnType("jsonb")
TIMESTAMPTZ = ColumnType("timestamptz")


def parse_type(text: str) -> ColumnType:
    """The type written as SQL, aliases included; ConfigurationError names the nearest known one."""
    qualified = _QUALIFIED.fullmatch(text.strip())
    if qualified is not None:
        return _in_schema(qualified, text)
    match = _TYPE.fullmatch(" ".join(text.lower().split()))
    if match is not None and match["name"] in REFUSED:
        raise _refused(match["name"], text)
    name = NAMES.get(match["name"] + (match["zone"] or "")) if match else None
    if match is None or name is None:
        raise _unknown(text)
    numbers = tuple(int(number) for number in (match["arguments"] or "").split(",") if number)
    arguments = _arguments(name, numbers, text)
    schema = USUAL_SCHEMA if name in _EXTENDED else None
    return ColumnType(name, arguments, match["array"] is not None, schema)


def _in_schema(match: re.Match[str], text: str) -> ColumnType:
    schema, name = _unquoted(match["schema"]), _unquoted(match["name"])
    written = f"({match['arguments']})" if match["arguments"] else ""
    array = match["array"] is not None
    if schema == "pg_catalog":
        return parse_type(name + written + ("[]" if array else ""))
    if name in REFUSED:
        raise _refused(name, text)
    numbers = (int(match["arguments"]),) if match["arguments"] else ()
    if name in _EXTENDED:
        return ColumnType(name, _arguments(name, numbers, text), array, schema)
    if numbers:
        raise ConfigurationError(
            f"the type {text!r} has arguments that do not fit",
            remedy=f"write {schema}.{name} alone",
        )
    return ColumnType(name, (), array, schema)


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


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
    near = get_close_matches(bare, NAMES, n=1)
    if near:
        remedy = f"did you mean {NAMES[near[0]]}?"
    else:
        remedy = f"use one of {', '.join(sorted(ROWS))}"
        if bare.isidentifier():
            remedy += f", or an enum type with its schema: public.{bare}"
    return ConfigurationError(f"the type {text!r} is not known", remedy=remedy)


def _refused(name: str, text: str) -> ConfigurationError:
    reason, remedy = REFUSED[name]
    return ConfigurationError(f"the type {text!r} is not taken: {reason}", remedy=remedy)
