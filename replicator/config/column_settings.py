"""Configuration of a target's columns and child tables."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from replicator.config.settings_base import Group, accepted_by, parsed_by, refuse
from replicator.core.mapping.attribute_paths import parse_path, written
from replicator.core.mapping.target_table import parse_table_name
from replicator.core.table_spec import (
    AttributePath,
    ChildSpec,
    ColumnSpec,
    Empty,
    KeyColumnSpec,
    Scalar,
)
from replicator.core.values.column_options import Fraction, OnInvalid, OnNul, TimeFormat, Transform
from replicator.core.values.column_types import ROWS, TIMED, ColumnType, parse_type

DeclaredType = Annotated[ColumnType, parsed_by(parse_type)]
SourcePath = Annotated[AttributePath, parsed_by(parse_path)]
TargetName = Annotated[str, accepted_by(parse_table_name)]
EmptyMap = Annotated[dict[str, None], Field(max_length=0)]
EmptyList = Annotated[list[None], Field(max_length=0)]
_Transforms = Transform | list[Transform]


def shorthand(value: object) -> object:
    """A string stands for the type."""
    return {"type": value} if isinstance(value, str) else value


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _empty(value: object) -> Empty | None:
    if isinstance(value, dict):
        return "{}"
    return "[]" if isinstance(value, list) else None


def _null_by_name(value: object) -> object:
    """YAML reads a bare `null` as nothing."""
    return "null" if value is None else value


class KeyColumnSettings(Group):
    """A key column; a string stands for the `type`."""

    from_: SourcePath | None = Field(default=None, alias="from")
    """A key attribute of the item; default: the one with the column's name."""
    type: DeclaredType | None = None
    """Default: the attribute's own, `text` for S, `numeric` for N, `bytea` for B."""
    part: str | None = Field(default=None, examples=["year"])
    """A part of a key attribute, by the name in `split`; the key must have all parts of it."""

    def spec(self, name: str) -> KeyColumnSpec:
        """The column as a fact."""
        attribute = name if self.from_ is None else str(self.from_[0])
        return KeyColumnSpec(name, attribute, self.type, self.part)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.from_ is not None and self.part is not None:
            raise refuse("`from` and `part` contradict each other", "keep one of them")
        if self.from_ is not None and len(self.from_) > 1:
            raise refuse(
                f"`from: {written(self.from_)}` leads into an attribute, and a key column takes a "
                "whole one",
                "name one key attribute; a name with dots stands in double quotes: '\"a.b\"'",
            )
        return self


class ColumnSettings(Group):
    """A mapped column; a string stands for the `type`."""

    from_: SourcePath | None = Field(default=None, alias="from", examples=["customer.name"])
    """A path to the value, such as `customer.name`, `lines[0].sku` or `"a.b".c`.
    Default: the attribute with the column's name."""
    type: DeclaredType = Field(examples=["numeric(12,2)", *sorted(ROWS), "text[]", "public.mood"])
    """The column's PostgreSQL type. Values convert exactly or not at all."""
    format: TimeFormat | None = None
    """Format of a time; strings default to `iso8601`, numbers need one."""
    fraction: Fraction = "reject"
    """Treatment of a time that is finer than the column keeps, a microsecond at most: the record
    becomes a dead letter, or the time is cut towards the past.
    """
    on_invalid: Annotated[OnInvalid, BeforeValidator(_null_by_name)] = "reject"
    """Effect of a value that does not convert: a dead letter for the record, or NULL in the
    column.
    """
    nul: OnNul = "reject"
    """Treatment of NUL characters, which PostgreSQL cannot store in text."""
    transform: Annotated[
        tuple[Transform, ...], BeforeValidator(_one_or_many, json_schema_input_type=_Transforms)
    ] = Field(default=(), examples=[["trim", "lower"]])
    """Changes to a string before conversion, in order: `trim`, `lower`, `upper`, `number`
    (the text is a number), `json` (the text is JSON, for jsonb), `empty_null` (an empty string
    is NULL) or `boolean` (the text, or a number, is one of `words`).
    """
    words: Annotated[dict[str, bool], Field(min_length=2)] | None = Field(
        default=None, examples=[{"Y": True, "N": False}]
    )
    """Words for true and for false, of `transform: boolean`; numbers as in JSON."""
    default: Scalar | EmptyMap | EmptyList | None = Field(default=None, examples=["unknown"])
    """Value of the column where the attribute is absent or NULL; `{}` and `[]` are an empty map and
    an empty list.
    """
    constant: Scalar | None = Field(default=None, examples=["web"])
    """Constant value of the column."""
    part: str | None = Field(default=None, examples=["year"])
    """A part of a string, by the name in `split`."""

    def spec(self, name: str) -> ColumnSpec:
        """The column as a fact."""
        path = (name,) if self.from_ is None else self.from_
        return ColumnSpec(
            name,
            path,
            self.type,
            self.format,
            self.on_invalid,
            self.nul,
            self.constant,
            None if isinstance(self.default, dict | list) else self.default,
            self.transform,
            self.part,
            fraction=self.fraction,
            words=tuple(sorted((self.words or {}).items())),
            empty=_empty(self.default),
        )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        said = [
            name
            for name, value in (
                ("from", self.from_),
                ("constant", self.constant),
                ("part", self.part),
            )
            if value is not None
        ]
        if len(said) > 1:
            raise refuse(
                f"{' and '.join(f'`{name}`' for name in said)} contradict each other",
                "keep one of them",
            )
        return self

    @model_validator(mode="after")
    def _worded(self) -> Self:
        if (self.words is not None) != ("boolean" in self.transform):
            raise refuse(
                "`words` and `transform: boolean` need each other",
                "write both, such as {type: boolean, transform: boolean, words: {Y: true, N: "
                "false}}, or neither",
            )
        if self.words is not None and set(self.words.values()) != {True, False}:
            raise refuse(
                "`words` needs a word for true and one for false", "add the one that is missing"
            )
        return self

    @model_validator(mode="after")
    def _timely(self) -> Self:
        if self.fraction != "reject" and not self.type.row.timed:
            raise refuse(
                f"a column of type {self.type.sql} has no `fraction`",
                f"drop it: it belongs to {', '.join(TIMED)}",
            )
        if self.format is not None and not self.type.row.timed:
            raise refuse(
                f"a column of type {self.type.label} has no `format`",
                f"drop it: formats belong to {', '.join(TIMED)}",
            )
        return self


KeyColumns = dict[
    str,
    Annotated[
        KeyColumnSettings,
        BeforeValidator(shorthand, json_schema_input_type=str | KeyColumnSettings),
    ],
]
OneColumn = Annotated[
    ColumnSettings, BeforeValidator(shorthand, json_schema_input_type=str | ColumnSettings)
]
Columns = dict[str, OneColumn]


class ChildSettings(Group):
    """A table of the elements of a list, a set or a map, keyed by parent and element."""

    from_: SourcePath = Field(alias="from", examples=["lines"])
    """The path to the list, set or map."""
    position: Annotated[str, Field(min_length=1)] | None = Field(default=None, examples=["line"])
    """The column of an element's position in a list or set, from 0; default: `position`."""
    map_key: Annotated[str, Field(min_length=1)] | None = Field(default=None, examples=["option"])
    """The column of an element's key in a map."""
    columns: Columns = Field(default={})
    """The columns; the paths lead into an element, which must be a map."""
    value: Columns | None = Field(
        default=None, min_length=1, max_length=1, examples=[{"tag": "text"}]
    )
    """Instead of `columns`, one column that holds an element which is no map."""
    rest: Annotated[str, Field(min_length=1)] | None = None
    """A jsonb column for all of an element that no column takes whole."""

    def spec(self, target: str) -> ChildSpec:
        """The child table as a fact."""
        value = next(iter(self.value.items()), None) if self.value else None
        return ChildSpec(
            target,
            self.from_,
            tuple(column.spec(name) for name, column in self.columns.items()),
            self.position or "position",
            self.map_key,
            None if value is None else value[1].spec(value[0]),
            self.rest,
        )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.position is not None and self.map_key is not None:
            raise refuse(
                "`position` and `map_key` contradict each other",
                "`position` is for a list or set, `map_key` for a map",
            )
        return self
