"""The `tables` of a configuration, and the settings of targets."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidatorFunctionWrapHandler, WrapValidator

from replicator.config.column_settings import ChildSettings, Columns, KeyColumns, TargetName
from replicator.config.settings_base import Group, accepted_by, refuse
from replicator.config.source_settings import TableSourceSettings
from replicator.core.mapping.attribute_paths import parse_path
from replicator.core.mapping.routing import compile_condition
from replicator.core.mapping.split_strings import parse_pattern
from replicator.core.table_spec import (
    ExistingRows,
    InitialLoad,
    Masking,
    OnDelete,
    OnError,
    OnGap,
    Poller,
    TableSpec,
    TargetSpec,
)
from replicator.core.values.column_options import OnNul
from replicator.errors import ConfigurationError

TABLE_NAME = r"[A-Za-z0-9_.-]{3,255}"
TABLE_ARN = rf"arn:aws[a-z-]*:dynamodb:(?P<region>[a-z0-9-]+):[0-9]{{12}}:table/{TABLE_NAME}"

_PathText = Annotated[str, accepted_by(parse_path)]
Unmatched = Literal["ignore", "dead_letter"] | TargetName


def _auto_or_columns(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    return value if value == "auto" else handler(value)


def _readable(when: object) -> object:
    try:
        compile_condition(when, ())
    except ConfigurationError as error:
        raise refuse(str(error), error.remedy) from error
    return when


class TargetSettings(Group):
    """One target table: the items that become rows, and the way."""

    when: Annotated[Any, BeforeValidator(_readable)] = Field(
        default=None, examples=[{"sk": {"begins_with": "ORDER#"}}]
    )
    """Condition for items of the target: paths and the required values. Default: all
    items.
    """
    key: (
        Annotated[
            KeyColumns,
            Field(min_length=1),
        ]
        | None
    ) = None
    """The key columns. Default: the table's own key attributes under the names and types."""
    columns: Annotated[
        Columns | None,
        WrapValidator(_auto_or_columns, json_schema_input_type=Columns | Literal["auto"] | None),
    ] = None
    """The mapped columns.
    Without columns, in document mode, the table has the key columns and `data jsonb` with the rest.
    `auto`: columns appear with the attributes, by `ALTER TABLE … ADD COLUMN`; needs `rest`."""
    rest: Annotated[str, Field(min_length=1)] | None = None
    """A jsonb column for all attributes that no column takes whole; document mode has none.
    Without `rest` such attributes are dropped, and counted as drift."""
    on_delete: OnDelete = "delete"
    """Effect of an item's deletion on the row; `soft` sets `_deleted_at`."""
    on_expire: OnDelete = "delete"
    """Effect of a deletion by DynamoDB's time to live on the row."""
    on_error: OnError = "dead_letter"
    """Effect of a record that does not fit: a dead letter, or a halt of the table."""
    existing_rows: ExistingRows | None = None
    """Fate of rows that were in the table before `migrate` first claimed it, without an
    item: `keep` leaves such rows for ever, `delete` lets snapshots and repairs remove such rows.
    Required where there are any: until decided, the table does not start."""
    history: TargetName | None = None
    """A table to which every change is appended, exactly once."""
    split: dict[_PathText, Annotated[str, accepted_by(parse_pattern)]] = Field(
        default={}, examples=[{"sk": "ORDER#{year}#{number}"}]
    )
    """Strings that are made of parts: paths and the patterns. Key columns and columns take a
    part by the name."""
    nul: OnNul = "reject"
    """Treatment of NUL characters in `rest`, `data` and the history."""
    children: dict[TargetName, ChildSettings] = Field(default={})
    """Child tables: the elements of a list, set or map as rows, replaced with the parent."""

    @property
    def auto(self) -> bool:
        """True where columns appear with the attributes."""
        columns: object = self.columns
        return columns == "auto"

    def below(self, defaults: "TargetSettings") -> "TargetSettings":
        """The target, with missing settings taken from the defaults."""
        said = {name: getattr(self, name) for name in self.model_fields_set}
        return defaults.model_copy(update=said)

    def spec(self, target: str) -> TargetSpec:
        """The target as a fact; the defaults are taken in already."""
        key, columns = self.key, {} if self.auto else self.columns
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
            existing_rows=self.existing_rows,
            history=self.history,
            split=tuple(self.split.items()),
            nul=self.nul,
            auto=self.auto,
            children=tuple(child.spec(name) for name, child in self.children.items()),
        )


class TableSettings(Group):
    """One source table and the targets that the items go to."""

    table: str | None = Field(
        default=None,
        pattern=f"^({TABLE_NAME}|{TABLE_ARN.replace('?P<region>', '')})$",
        examples=["orders"],
    )
    """The DynamoDB table, by name or ARN. Default: the name of the entry."""
    source: TableSourceSettings = TableSourceSettings()
    """Place of the table, as far as different from the `source` of all tables."""
    poller: Poller = "daemon"
    """The reader of the stream: `replicator run`, or AWS Lambda (see operations/lambda.md). The
    other one leaves the table alone; `replicator migrate` makes a change take effect.
    """
    initial_load: InitialLoad = "snapshot"
    """Start of a table without a position: a `snapshot`, an `export` to S3 that is loaded
    instead, all that the `stream` still holds, or (`none`) the changes from now on.
    """
    on_gap: OnGap = "stop"
    """Reaction to changes that left the stream unread. `export` loads what changed
    meanwhile from incremental exports to S3, `resnapshot` the whole table."""
    max_dead_letters: int = Field(default=1000, ge=0, le=1_000_000)
    """Open dead letters; more halt the table."""
    max_dead_letters_per_hour: int | None = Field(default=None, ge=0, le=1_000_000)
    """Dead letters that an hour may bring, closed ones included; more halt the table.
    Null: only the open ones count."""
    dead_letter_retention_days: int = Field(default=30, ge=1, le=3650)
    """Days for which closed dead letters are kept."""
    expire_attribute: str | None = Field(default=None, min_length=1, examples=["expiresAt"])
    """The attribute of DynamoDB's time to live, for replicas of global tables: the streams do not
    say which deletions are expiries. A deletion counts as one when the attribute of the old image
    is
    a time that had passed; needs old images."""
    personal: dict[_PathText, Masking] = Field(
        default={}, examples=[{"email": "hash", "address.street": "mask"}]
    )
    """Personal data: paths, and the treatment of the values before any other use,
    targets, histories and dead letters included. `hash` makes an HMAC-SHA256 with the salt of
    `hashing.salt_file`, `mask` makes `***`, `drop` leaves nothing."""
    unmatched: Unmatched = "ignore"
    """Treatment of items that no `when` takes: `ignore` counts them, `dead_letter` keeps such
    items as dead letters, and the name of a target below `into` without `when` sends such items
    there.
    """
    into: dict[TargetName, TargetSettings] = Field(min_length=1)
    """The target tables, as `schema.table`; nothing below one means document mode."""

    def spec(self, name: str, defaults: TargetSettings, salt: bytes | None = None) -> TableSpec:
        """The table and the targets as facts; `salt` is for personal data that is hashed."""
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
            expire_attribute=self.expire_attribute,
            personal=tuple(self.personal.items()),
            salt=salt if "hash" in self.personal.values() else None,
            kinesis=self.source.kinesis,
            kinesis_base64=self.source.kinesis_base64,
        )
