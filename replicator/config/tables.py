"""The `tables` of a configuration, and what a target below them may say."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from replicator.config.group import Group, accepted_by, refuse
from replicator.config.source import SourceSettings
from replicator.core.columns import parse_type
from replicator.core.identifiers import parse_table_name
from replicator.core.mapping_spec import (
    ColumnSpec,
    InitialLoad,
    KeyColumnSpec,
    OnDelete,
    OnError,
    OnGap,
    OnInvalid,
    OnNul,
    Poller,
    Scalar,
    TableSpec,
    TargetSpec,
    TimeFormat,
    Transform,
    Treatment,
)
from replicator.core.paths import parse_path
from replicator.core.patterns import parse_pattern
from replicator.core.routing import compile_condition
from replicator.core.timestamps import TIME_TYPES
from replicator.errors import ConfigurationError

TABLE_NAME = r"[A-Za-z0-9_.-]{3,255}"
TABLE_ARN = rf"arn:aws[a-z-]*:dynamodb:(?P<region>[a-z0-9-]+):[0-9]{{12}}:table/{TABLE_NAME}"

ColumnTypeName = Annotated[str, accepted_by(parse_type)]
SourcePath = Annotated[str, accepted_by(parse_path)]
TargetName = Annotated[str, accepted_by(parse_table_name)]


Unmatched = Literal["ignore", "dead_letter"] | TargetName


def _shorthand(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


_Transforms = Transform | list[Transform]


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _null_by_name(value: object) -> object:
    """YAML reads a bare `null` as nothing."""
    return "null" if value is None else value


def _no_columns_yet(value: object) -> object:
    if value == "auto":
        raise refuse(
            "`columns: auto` is not available in this version",
            "list the columns, or leave `columns` out to keep the whole item in `data`",
        )
    return value


def _readable(when: object) -> object:
    try:
        compile_condition(when, ())
    except ConfigurationError as error:
        raise refuse(str(error), error.remedy) from error
    return when


class KeyColumnSettings(Group):
    """A key column; a string stands for its `type`."""

    from_: SourcePath | None = Field(default=None, alias="from")
    """A key attribute of the item; default: the one with the column's name."""
    type: ColumnTypeName | None = None
    """Default: the attribute's own, `text` for S, `numeric` for N, `bytea` for B."""
    part: str | None = Field(default=None, examples=["year"])
    """A part of a key attribute, by its name in `split`; the key must have all parts of it."""

    def spec(self, name: str) -> KeyColumnSpec:
        """The column as a fact."""
        attribute = name if self.from_ is None else str(parse_path(self.from_)[0])
        return KeyColumnSpec(name, attribute, self.type, self.part)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.from_ is not None and self.part is not None:
            raise refuse("`from` and `part` contradict each other", "keep one of them")
        if self.from_ is not None and len(parse_path(self.from_)) > 1:
            raise refuse(
                f"`from: {self.from_}` leads into an attribute, and a key column takes a whole one",
                "name one key attribute; a name with dots stands in double quotes: '\"a.b\"'",
            )
        return self


class ColumnSettings(Group):
    """A mapped column; a string stands for its `type`."""

    from_: SourcePath | None = Field(default=None, alias="from", examples=["customer.name"])
    """A path to the value, such as `customer.name`, `lines[0].sku` or `"a.b".c`.
    Default: the attribute with the column's name."""
    type: ColumnTypeName = Field(examples=["numeric(12,2)"])
    """The column's PostgreSQL type. Values convert exactly or not at all."""
    format: TimeFormat | None = None
    """How a time is written; `iso8601` is the default for strings, numbers need one."""
    on_invalid: Annotated[OnInvalid, BeforeValidator(_null_by_name)] = "reject"
    """What a value that does not convert makes: its record a dead letter, or the column NULL."""
    nul: OnNul = "reject"
    """What becomes of NUL characters, which PostgreSQL cannot store in text."""
    transform: Annotated[
        tuple[Transform, ...], BeforeValidator(_one_or_many, json_schema_input_type=_Transforms)
    ] = Field(default=(), examples=[["trim", "lower"]])
    """What is done to a string before it is converted, in this order: `trim`, `lower`, `upper`,
    `number` (its text is a number) or `json` (its text is JSON, for jsonb)."""
    default: Scalar | None = Field(default=None, examples=["unknown"])
    """What the column holds where the value is absent or NULL."""
    constant: Scalar | None = Field(default=None, examples=["web"])
    """What the column always holds."""
    part: str | None = Field(default=None, examples=["year"])
    """A part of a string, by its name in `split`."""

    def spec(self, name: str) -> ColumnSpec:
        """The column as a fact."""
        path = f'"{name.replace(chr(34), chr(34) * 2)}"' if self.from_ is None else self.from_
        return ColumnSpec(
            name,
            path,
            self.type,
            self.format,
            self.on_invalid,
            self.nul,
            self.constant,
            self.default,
            self.transform,
            self.part,
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
    def _timely(self) -> Self:
        if self.format is not None and parse_type(self.type).name not in TIME_TYPES:
            raise refuse(
                f"a column of type {self.type} has no `format`",
                f"drop it: formats belong to {', '.join(TIME_TYPES)}",
            )
        return self


class TargetSettings(Group):
    """One target table: which items become rows of it, and how."""

    when: Annotated[Any, BeforeValidator(_readable)] = Field(
        default=None, examples=[{"sk": {"begins_with": "ORDER#"}}]
    )
    """Which items belong here: paths and what their values must be. Default: all."""
    key: (
        Annotated[
            dict[
                str,
                Annotated[
                    KeyColumnSettings,
                    BeforeValidator(_shorthand, json_schema_input_type=str | KeyColumnSettings),
                ],
            ],
            Field(min_length=1),
        ]
        | None
    ) = None
    """The key columns. Default: the table's own key attributes under their names and types."""
    columns: Annotated[
        dict[
            str,
            Annotated[
                ColumnSettings,
                BeforeValidator(_shorthand, json_schema_input_type=str | ColumnSettings),
            ],
        ]
        | None,
        BeforeValidator(_no_columns_yet),
    ] = None
    """The mapped columns.
    Without them, in document mode, the table has the key columns and `data jsonb` with the rest."""
    rest: Annotated[str, Field(min_length=1)] | None = None
    """A jsonb column for all attributes that no column takes whole; document mode has none.
    Without it they are dropped, and counted as drift."""
    on_delete: OnDelete = "delete"
    """What an item's deletion does to its row; `soft` sets `_deleted_at`."""
    on_expire: OnDelete = "delete"
    """The same for deletions by DynamoDB's time to live."""
    on_error: OnError = "dead_letter"
    """What becomes of a record that does not fit: set aside, or the table stops."""
    history: TargetName | None = None
    """A table to which every change is appended, exactly once."""
    split: dict[SourcePath, Annotated[str, accepted_by(parse_pattern)]] = Field(
        default={}, examples=[{"sk": "ORDER#{year}#{number}"}]
    )
    """Strings that are made of parts: paths and their patterns. Key columns and columns take a
    part by its name."""
    nul: OnNul = "reject"
    """What becomes of NUL characters in `rest`, `data` and the history."""

    def below(self, defaults: "TargetSettings") -> "TargetSettings":
        """This target, with what it does not say itself taken from the defaults."""
        said = {name: getattr(self, name) for name in self.model_fields_set}
        return defaults.model_copy(update=said)

    def spec(self, target: str) -> TargetSpec:
        """The target as a fact; the defaults are taken in already."""
        key, columns = self.key, self.columns
        return TargetSpec(
            target=target,
            when=self.when,
            key=None if key is None else tuple(key[name].spec(name) for name in key),
            columns=None
            if columns is None
            else tuple(columns[name].spec(name) for name in columns),
            rest=None if columns is None else self.rest,
            on_delete=self.on_delete,
            on_expire=self.on_expire,
            on_error=self.on_error,
            history=self.history,
            split=tuple(self.split.items()),
            nul=self.nul,
        )


class TableSettings(Group):
    """One source table and the targets that its items go to."""

    table: str | None = Field(
        default=None,
        pattern=f"^({TABLE_NAME}|{TABLE_ARN.replace('?P<region>', '')})$",
        examples=["orders"],
    )
    """The DynamoDB table, by name or ARN. Default: the name of this entry."""
    source: SourceSettings = SourceSettings()
    """Where this table is, as far as it differs from the `source` of all tables."""
    poller: Poller = "daemon"
    """Who reads the stream: `replicator run`, or AWS Lambda (see operations/lambda.md).
    The other one leaves the table alone; `replicator migrate` makes a change take effect."""
    initial_load: InitialLoad = "snapshot"
    """Where to begin when there is no position yet: with a `snapshot`, with all that the `stream`
    still holds, or (`none`) with the changes from now on."""
    on_gap: OnGap = "stop"
    """What to do when changes left the stream before they were read."""
    max_dead_letters: int = Field(default=1000, ge=0, le=1_000_000)
    """Open dead letters; more halt the table."""
    max_dead_letters_per_hour: int | None = Field(default=None, ge=0, le=1_000_000)
    """Dead letters that an hour may bring, whatever becomes of them; more halt the table.
    Null: only the open ones count."""
    dead_letter_retention_days: int = Field(default=30, ge=1, le=3650)
    """How long dead letters are kept that are not open any more."""
    personal: dict[SourcePath, Treatment] = Field(
        default={}, examples=[{"email": "hash", "address.street": "mask"}]
    )
    """Personal data: paths, and what becomes of the values there before anything else sees them,
    targets, histories and dead letters included. `hash` makes an HMAC-SHA256 with the salt of
    `hashing.salt_file`, `mask` makes `***`, `drop` leaves nothing."""
    unmatched: Unmatched = "ignore"
    """What becomes of items that no `when` takes: `ignore` counts them, `dead_letter` sets them
    aside, and the name of a target below `into` that has no `when` sends them there."""
    into: dict[TargetName, TargetSettings] = Field(min_length=1)
    """The target tables, as `schema.table`; nothing below one means document mode."""

    def spec(self, name: str, defaults: TargetSettings, salt: bytes | None = None) -> TableSpec:
        """The table and its targets as facts; `salt` is for personal data that is hashed."""
        return TableSpec(
            name=name,
            table=self.table or name,
            targets=tuple(target.below(defaults).spec(text) for text, target in self.into.items()),
            initial_load=self.initial_load,
            on_gap=self.on_gap,
            max_dead_letters=self.max_dead_letters,
            max_dead_letters_per_hour=self.max_dead_letters_per_hour,
            dead_letter_retention_days=self.dead_letter_retention_days,
            poller=self.poller,
            unmatched=self.unmatched,
            personal=tuple(self.personal.items()),
            salt=salt if "hash" in self.personal.values() else None,
        )
