"""The column types: how one is declared, and a row for each that says all there is to know. Pure.

How a row is read: `convert` makes the cells of single values, and says by the tags which types of
DynamoDB the column takes; `check` makes the cells of many values at once, where one look is enough;
`keys` are the types of key attributes of which two different ones never become one value;
`compared` and `digest` are SQL over an expression `{}`: what is equal exactly when the value is.
A new type is a row and the converter.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import Literal

from replicator.core.values import columnar_cells as checks
from replicator.core.values.by_type import clock_times, extension_values, scalars
from replicator.core.values.by_type import network_addresses as addresses
from replicator.core.values.by_type.clock_times import at_most_digits
from replicator.core.values.by_type.extension_values import DIMENSIONS_MAX
from replicator.core.values.by_type.intervals import interval
from replicator.core.values.by_type.timestamps import beyond, time_conversions
from replicator.core.values.cells import Conversions
from replicator.core.values.column_options import Fraction, OnNul, TimeFormat
from replicator.core.values.columnar_cells import ColumnarCheck
from replicator.core.values.dynamodb_json import decode_binary
from replicator.errors import ConfigurationError

Arguments = tuple[int, ...]
"""Arguments in brackets behind a type's name, in canonical form; empty for no bound."""

PRECISION_MAX = 1000  # of numeric
CHARACTERS_MAX = 10_485_760  # of varchar
FRACTION_DIGITS_MAX = 6  # of a second
UNCHANGED_TEXT = "({})::text"
AS_TEXT = '({})::text collate "C"'
AS_NUMBER = "trim_scale(({})::numeric)::text"
"""One text for one number: an existing column may be of a wider type than the declared one."""

# Patterns of the texts that are cells unchanged: no comma, as `checks.matching` joins by it.
PATTERN_DIGITS_MAX = 19  # on each side of the point; more is possible, but not usual
DAY = (  # the 29th of February is left to the calendar
    r"(?!0000)[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_HOST_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4 = rf"(?:{_HOST_BYTE}\.){{3}}{_HOST_BYTE}"
MAC = "[0-9a-f]{2}(?::[0-9a-f]{2}){5}"
UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
OFFSET = "(?:Z|[+-](?:0[0-9]|1[0-5]):[0-5][0-9])"


@dataclass(frozen=True, slots=True)
class Reading:
    """Reading of a column's values: `key` forbids two texts for one value."""

    arguments: Arguments = ()
    time_format: TimeFormat | None = None
    nul: OnNul = "reject"
    key: bool = False
    fraction: Fraction = "reject"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The arguments of a type: `read` makes them canonical, None where they do not fit.

    `cover` tells whether a column with the first ones holds every value of one with the second.
    """

    read: Callable[[Arguments], Arguments | None]
    remedy: str
    cover: Callable[[Arguments, Arguments], bool]


@dataclass(frozen=True, slots=True)
class ColumnTypeRow:
    """One type under PostgreSQL's short name, and the other names.

    `tag` is the type that most of the values have, `set_tag` that of most of the arrays. `wider`
    are types that hold all of the values, given bounds that cover: for an integer type, `digits`.
    `number` types read a part of a string as a number, `timed` ones have a `format`, and cells of
    `json` ones are JSON, of which `one_text` has one text for one value.
    `extension` is the one that brings it. `asked_as` is the type of given cells in a comparison,
    where it is not the type itself. `collated` texts are compared by code point wherever they are
    a key.
    """

    name: str
    convert: Callable[[Reading], Conversions]
    aliases: tuple[str, ...] = ()
    tag: str = "S"
    set_tag: str = "L"
    check: Callable[[Reading], ColumnarCheck] | None = None
    set_check: ColumnarCheck | None = None
    bounds: Bounds | None = None
    keys: frozenset[str] = frozenset()
    wider: tuple[str, ...] = ()
    digits: int | None = None
    number: bool = False
    timed: bool = False
    json: bool = False
    collated: bool = False
    compared: str = "{}"
    digest: str = UNCHANGED_TEXT
    one_text: bool = False
    extension: str | None = None
    asked_as: str | None = None


def _length(numbers: Arguments) -> Arguments | None:
    match numbers:
        case () | (int(),) if all(1 <= number <= CHARACTERS_MAX for number in numbers):
            return numbers
        case _:
            return None


def _precision_and_scale(numbers: Arguments) -> Arguments | None:
    match numbers:
        case ():
            return ()
        case (precision,) if 1 <= precision <= PRECISION_MAX:
            return (precision, 0)
        case (precision, scale) if 1 <= precision <= PRECISION_MAX and scale <= precision:
            return (precision, scale)
        case _:
            return None


def _at_least_as_many(outer: Arguments, inner: Arguments) -> bool:
    return not outer or bool(inner and inner <= outer)


def _digits_on_both_sides(outer: Arguments, inner: Arguments) -> bool:
    """True when numeric(outer) has the digits of numeric(inner), before and after the point."""
    if not outer or not inner:
        return not outer
    return outer[1] >= inner[1] and outer[0] - outer[1] >= inner[0] - inner[1]


def _char_length(numbers: Arguments) -> Arguments | None:
    """The length of `char`, which is one character where none is given."""
    return _length(numbers or (1,))


def _fraction_digits(name: str) -> Bounds:
    """Digits of a second, of which PostgreSQL keeps six at most."""

    def read(numbers: Arguments) -> Arguments | None:
        match numbers:
            case () | (6,):
                return ()
            case (digits,) if digits < FRACTION_DIGITS_MAX:
                return (digits,)
            case _:
                return None

    return Bounds(read, f"write {name}, or {name}(p) with p from 0 to 6", _at_least_as_many)


_CHAR = Bounds(
    _char_length, f"write char(n) with n from 1 to {CHARACTERS_MAX}, or text", _at_least_as_many
)


def _dimensions(numbers: Arguments) -> Arguments | None:
    match numbers:
        case () | (int(),) if all(1 <= number <= DIMENSIONS_MAX for number in numbers):
            return numbers
        case _:
            return None


_DIMENSIONS = Bounds(
    _dimensions,
    f"write the number of dimensions, from 1 to {DIMENSIONS_MAX}, or nothing",
    lambda outer, inner: outer in ((), inner),
)
_LENGTH = Bounds(
    _length, f"write varchar(n) with n from 1 to {CHARACTERS_MAX}, or text", _at_least_as_many
)
_NUMERIC = Bounds(
    _precision_and_scale,
    f"write numeric, or numeric(p,s) with s <= p <= {PRECISION_MAX}",
    _digits_on_both_sides,
)


def clock_pattern(digits: int = 6) -> str:
    """The pattern of times of day with so many digits of a second at most."""
    fraction = f"(?:\\.[0-9]{{1,{digits}}})?" if digits else ""
    return f"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]{fraction}"


def numeric_pattern(
    precision: int = 2 * PATTERN_DIGITS_MAX, scale: int = PATTERN_DIGITS_MAX
) -> str:
    """The pattern of numbers of so many digits in canonical form, `scale` behind the point."""
    return number_pattern(precision - scale, scale)


def number_pattern(whole: int, scale: int) -> str:
    """The pattern of numbers in canonical form, with so many digits at most on each side."""
    wholes = f"[1-9][0-9]{{0,{min(whole, PATTERN_DIGITS_MAX) - 1}}}" if whole else None
    decimals = f"\\.[0-9]{{0,{min(scale, PATTERN_DIGITS_MAX) - 1}}}[1-9]" if scale else None
    numbers = ["0"]
    if decimals:
        numbers.insert(0, f"-?0{decimals}")
    if wholes:
        numbers.insert(0, f"-?{wholes}" + (f"(?:{decimals})?" if decimals else ""))
    return "|".join(numbers)


def _integer(name: str, alias: str, bits: int, *, wider: tuple[str, ...]) -> ColumnTypeRow:
    digits = len(str(1 << (bits - 1)))
    aliases = ("int", alias) if name == "integer" else (alias,)
    return ColumnTypeRow(
        name,
        lambda _: {"N": scalars.integer(name, bits)},
        aliases,
        tag="N",
        check=lambda _: checks.matching(number_pattern(digits - 1, 0)),
        keys=frozenset("N"),
        wider=(*wider, "numeric"),
        digits=digits,
        number=True,
        json=True,
        digest=AS_NUMBER,
    )


def _instant(name: str, alias: str, pattern: Callable[[int], str]) -> ColumnTypeRow:
    """A type of points in time, which have formats."""
    return ColumnTypeRow(
        name,
        _instant_conversions(name),
        (alias,),
        check=lambda reading: checks.matching(
            pattern(*(reading.arguments or (6,))),
            beyond(reading.fraction, *reading.arguments),
        ),
        bounds=_fraction_digits(name),
        timed=True,
    )


def _instant_conversions(name: str) -> Callable[[Reading], Conversions]:
    def conversions(reading: Reading) -> Conversions:
        (digits,) = reading.arguments or (6,)
        of_time = time_conversions(name, reading.time_format, reading.fraction, digits=digits)
        return _bounded({**of_time}, reading.arguments)

    return conversions


def _clock(name: str, alias: str, convert: Callable[[str], str], offset: str) -> ColumnTypeRow:
    """A type of times of day."""
    return ColumnTypeRow(
        name,
        lambda reading: _bounded({"S": convert}, reading.arguments),
        (alias,),
        check=lambda reading: checks.matching(clock_pattern(*reading.arguments) + offset),
        bounds=_fraction_digits(name),
    )


def _bounded(conversions: Conversions, arguments: Arguments) -> Conversions:
    if not arguments:
        return conversions
    return {tag: at_most_digits(convert, *arguments) for tag, convert in conversions.items()}


def _address(name: str, convert: Callable[[str], str], pattern: str | None = None) -> ColumnTypeRow:
    """A type of addresses, of which several texts may be one."""
    return ColumnTypeRow(
        name,
        lambda _: {"S": convert},
        check=None if pattern is None else lambda _: checks.matching(pattern),
    )


_CHARACTERS = ColumnTypeRow(
    "text",
    lambda reading: scalars.text_conversions(reading.nul),
    set_tag="SS",
    check=lambda _: checks.texts(),
)
ENUM = replace(
    _CHARACTERS,
    name="enum",
    convert=lambda reading: {"S": scalars.text_conversions(reading.nul)["S"]},
    set_tag="L",
    compared=AS_TEXT,
    asked_as="text",  # a text that is no label is no error when rows are compared
)
"""Every enum type: which labels it has is asked of PostgreSQL whenever a row is written."""


def _extended(extension: str, row: ColumnTypeRow) -> ColumnTypeRow:
    """A type that an extension brings, whose operators no search path has to find."""
    return replace(row, extension=extension, compared=AS_TEXT)


_ROWS = (
    _extended("citext", replace(_CHARACTERS, name="citext", asked_as="text")),
    _extended(
        "hstore",
        ColumnTypeRow(
            "hstore",
            lambda reading: extension_values.string_map(reading.nul),
            tag="M",
            one_text=True,
        ),
    ),
    _extended(
        "ltree",
        ColumnTypeRow(
            "ltree",
            lambda _: {"S": extension_values.label_path},
            check=lambda _: checks.matching(extension_values.LABEL_PATH),
            asked_as="text",
        ),
    ),
    _extended(
        "vector",
        ColumnTypeRow(
            "vector",
            lambda reading: {"L": extension_values.real_vector(*reading.arguments)},
            tag="L",
            bounds=_DIMENSIONS,
        ),
    ),
    _extended(
        "vector",
        ColumnTypeRow(
            "halfvec",
            lambda reading: {"L": extension_values.half_vector(*reading.arguments)},
            tag="L",
            bounds=_DIMENSIONS,
        ),
    ),
    _integer("bigint", "int8", 64, wider=()),
    _integer("integer", "int4", 32, wider=("bigint",)),
    _integer("smallint", "int2", 16, wider=("integer", "bigint")),
    ColumnTypeRow(
        "boolean",
        lambda _: {"BOOL": scalars.boolean},
        ("bool",),
        tag="BOOL",
        check=lambda _: checks.booleans,
        json=True,
    ),
    ColumnTypeRow(
        "bytea",
        lambda _: {"B": decode_binary},
        tag="B",
        set_tag="BS",
        keys=frozenset("B"),
        digest="encode({}, 'hex')",
    ),
    ColumnTypeRow(
        "char",
        lambda reading: scalars.padded_text_conversions(reading.nul, *reading.arguments),
        ("character",),
        set_tag="SS",
        check=lambda reading: checks.unpadded(*reading.arguments),
        bounds=_CHAR,
        keys=frozenset("SN"),
        collated=True,
        compared='{} collate "C"',
    ),
    _address("cidr", addresses.cidr),
    ColumnTypeRow(
        "date",
        lambda reading: {**time_conversions("date", reading.time_format)},
        check=lambda _: checks.matching(DAY),
        keys=frozenset("S"),
        timed=True,
        digest="({} - date '2000-01-01')::text",
    ),
    ColumnTypeRow(
        "double precision",
        lambda _: {"N": scalars.double},
        ("float8", "float"),
        tag="N",
        check=lambda _: checks.matching(number_pattern(7, 8)),
        number=True,
        json=True,
    ),
    _address("inet", addresses.inet, IPV4),
    ColumnTypeRow(
        "interval",
        lambda reading: _bounded({"S": interval}, reading.arguments),
        bounds=_fraction_digits("interval"),
        compared=AS_TEXT,  # a month and thirty days are equal
    ),
    ColumnTypeRow(
        "json",
        lambda reading: scalars.json_conversions(reading.nul),
        tag="M",
        json=True,
        one_text=True,
        compared=AS_TEXT,  # the type has no equality
    ),
    ColumnTypeRow(
        "jsonb", lambda reading: scalars.json_conversions(reading.nul), tag="M", json=True
    ),
    _address("macaddr", addresses.macaddr, MAC),
    _address("macaddr8", addresses.macaddr8),
    ColumnTypeRow(
        "numeric",
        lambda reading: {"N": scalars.numeric(*reading.arguments)},
        ("decimal", "dec"),
        tag="N",
        set_tag="NS",
        check=lambda reading: checks.matching(numeric_pattern(*reading.arguments)),
        bounds=_NUMERIC,
        keys=frozenset("N"),
        number=True,
        json=True,
        digest=AS_NUMBER,
    ),
    ColumnTypeRow(
        "real",
        lambda _: {"N": scalars.real},
        ("float4",),
        tag="N",
        check=lambda _: checks.matching(number_pattern(3, 3)),
        number=True,
        json=True,
    ),
    replace(
        _CHARACTERS,
        set_check=checks.string_sets,
        keys=frozenset("SN"),
        wider=("varchar",),
        collated=True,
        compared='{} collate "C"',
    ),
    _clock("time", "time without time zone", clock_times.time, ""),
    _clock("timetz", "time with time zone", clock_times.timetz, OFFSET),
    _instant(
        "timestamp",
        "timestamp without time zone",
        lambda digits: f"{DAY}T{clock_pattern(digits)}",
    ),
    _instant(
        "timestamptz",
        "timestamp with time zone",
        lambda digits: f"{DAY}T{clock_pattern(digits)}Z",
    ),
    ColumnTypeRow(
        "uuid",
        lambda reading: {"S": partial(scalars.uuid, key=reading.key)},
        check=lambda _: checks.matching(UUID),
        keys=frozenset("S"),
    ),
    ColumnTypeRow(
        "varchar",
        lambda reading: scalars.text_conversions(reading.nul, *reading.arguments),
        ("character varying",),
        set_tag="SS",
        check=lambda reading: checks.texts(*reading.arguments),
        bounds=_LENGTH,
        keys=frozenset("SN"),
        wider=("text",),
        collated=True,
        compared='{} collate "C"',
    ),
)
ROWS: Mapping[str, ColumnTypeRow] = {row.name: row for row in _ROWS}
"""Every type by its name."""
REFUSED: Mapping[str, tuple[str, str]] = {
    "money": (
        "its digits and its notation depend on the database's lc_monetary",
        "write numeric(p,2), which keeps every amount as it is",
    ),
    "smallserial": ("it is an integer that counts by itself", "write smallint"),
    "serial": ("it is an integer that counts by itself", "write integer"),
    "bigserial": ("it is an integer that counts by itself", "write bigint"),
    **dict.fromkeys(
        ("geometry", "geography"),
        (
            "it is made by a function of PostGIS, which loses digits",
            "write jsonb, and let a column of yours be `generated always as "
            "(st_geomfromgeojson(…)) stored`",
        ),
    ),
    "tsvector": (
        "it is made of a text",
        "write text, and let a column of yours be `generated always as (to_tsvector(…)) stored`",
    ),
    "xml": ("PostgreSQL does not say when two of them are equal", "write text"),
    **dict.fromkeys(("bit", "bit varying", "varbit"), ("DynamoDB has no bits", "write text")),
}
"""Types that no column can be declared with: why, and what to write instead."""
NAMES = {name: row.name for row in _ROWS for name in (row.name, *row.aliases)}
"""The name of every type by each of its names."""
TIMED = tuple(row.name for row in _ROWS if row.timed)
"""The types that have a `format`."""


def key_types(tag: str) -> tuple[str, ...]:
    """The types that keep all key attributes of a type apart."""
    return tuple(row.name for row in _ROWS if tag in row.keys)


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
