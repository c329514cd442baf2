"""Specification of one source table and its targets, before it is compiled: plain facts."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from replicator.core.values.column_options import (
    Fraction,
    OnInvalid,
    OnNul,
    TimeFormat,
    Transform,
    Words,
)
from replicator.core.values.column_types import ColumnType

KeyType = Literal["S", "N", "B"]
OnDelete = Literal["delete", "soft", "ignore"]
ExistingRows = Literal["keep", "delete"]
OnError = Literal["dead_letter", "halt"]
OnGap = Literal["stop", "export", "resnapshot", "continue"]
Poller = Literal["daemon", "lambda"]
InitialLoad = Literal["snapshot", "export", "stream", "none"]
Masking = Literal["hash", "mask", "drop"]
Scalar = str | int | float | Decimal | bool
Empty = Literal["{}", "[]"]
"""An empty map, or an empty list."""
AttributePath = tuple[str | int, ...]
"""Names and list positions; the first is the name of a top-level attribute."""


@dataclass(frozen=True, slots=True)
class SourceKey:
    """The key attributes of a DynamoDB table, partition key first, with the types."""

    attributes: tuple[tuple[str, KeyType], ...]


@dataclass(frozen=True, slots=True)
class KeyColumnSpec:
    """A key column: `attribute` is the name of a key attribute; `type` None means the default.

    `part` is a part of the pattern, and then `attribute` is not asked.
    """

    name: str
    attribute: str
    type: ColumnType | None = None
    part: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """A mapped column: `path` leads to a value in the item.

    Or the column has a `constant`, or a `part` of a pattern. `default` stands in for an absent
    value or NULL; instead of a scalar, `empty` does.
    """

    name: str
    path: AttributePath
    type: ColumnType
    format: TimeFormat | None = None
    on_invalid: OnInvalid = "reject"
    nul: OnNul = "reject"
    constant: Scalar | None = None
    default: Scalar | None = None
    transform: tuple[Transform, ...] = ()
    part: str | None = None
    other_types: Literal["reject", "rest"] = "reject"
    """Treatment of values of another type than the column's."""
    fraction: Fraction = "reject"
    """Treatment of a time that is finer than the column keeps."""
    words: Words = ()
    """Words for true and false, of the transform `boolean`."""
    empty: Empty | None = None
    """A `default` that is an empty map or list."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A table of the elements that stand at `path`: of a list or set by the `position`, of a map
    by `map_key`, both names of the column that completes the parent's key.

    `columns` have paths into an element; `value` is the column of elements that are no maps.
    """

    target: str
    path: AttributePath
    columns: tuple[ColumnSpec, ...] = ()
    position: str = "position"
    map_key: str | None = None
    value: ColumnSpec | None = None
    rest: str | None = None


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """One entry of `into`.

    `key` None: the table's own key attributes under the names and types. `columns` None:
    document mode (key columns and `data jsonb`). `rest` names the jsonb column of everything
    unmapped, None drops it. `when` is the condition as configured: paths and the operators.
    `split` are paths to strings and the patterns. `nul` is for what goes into `rest`, `data` and
    the history. `existing_rows` says what becomes of rows that were in the table before it was
    first claimed and that no item makes; None: nobody has decided.
    """

    target: str
    when: Any | None = None
    key: tuple[KeyColumnSpec, ...] | None = None
    columns: tuple[ColumnSpec, ...] | None = None
    rest: str | None = None
    on_delete: OnDelete = "delete"
    on_expire: OnDelete = "delete"
    on_error: OnError = "dead_letter"
    history: str | None = None
    split: tuple[tuple[str, str], ...] = ()
    nul: OnNul = "reject"
    children: tuple[ChildSpec, ...] = ()
    auto: bool = False
    """Columns appear with the attributes; `columns` are the ones so far."""
    existing_rows: ExistingRows | None = None


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One entry of `tables`: `name` is the configuration's, `table` is the DynamoDB table's name or
    ARN.

    `unmatched` is "ignore", "dead_letter", or the target that takes what no other one does.
    `expire_attribute` is the one of DynamoDB's time to live, where deletions do not say that they
    are by it. `personal` are paths, and what becomes of the values there; `salt` is for those that
    are hashed. `kinesis` is the ARN of the Kinesis stream that is read in place of DynamoDB
    Streams, and `kinesis_base64` says how often binary values are encoded in the records.
    """

    name: str
    table: str
    targets: tuple[TargetSpec, ...]
    initial_load: InitialLoad = "snapshot"
    on_gap: OnGap = "stop"
    max_dead_letters: int = 1000
    max_dead_letters_per_hour: int | None = None
    dead_letter_retention_days: int = 30
    poller: Poller = "daemon"
    unmatched: str = "ignore"
    expire_attribute: str | None = None
    personal: tuple[tuple[str, Masking], ...] = ()
    salt: bytes | None = field(default=None, repr=False)
    kinesis: str | None = None
    kinesis_base64: Literal["twice", "once"] = "twice"
