"""Columns that appear with the attributes: which ones, with which type, and how many. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.mapping.target_table import DELETED_AT, check_columns, parse_table_name
from replicator.core.table_spec import ColumnSpec, TableSpec
from replicator.core.values.column_types import parse_type
from replicator.core.values.dynamodb_json import label
from replicator.errors import ConfigurationError

COLUMNS_MAX = 200
"""Columns of one target: PostgreSQL has a limit, and a table that cannot be read has no free
place."""
TYPES = {
    "S": "text",
    "N": "numeric",
    "BOOL": "boolean",
    "B": "bytea",
    "M": "jsonb",
    "L": "jsonb",
    "SS": "text[]",
    "NS": "numeric[]",
    "BS": "bytea[]",
}
"""Type of the column for each DynamoDB type of the attribute."""


PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 2.0, 60.0
"""Seconds between two additions of columns to the targets of a table."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of additions: attributes that keep appearing wait longer and longer, together.

    Each addition locks a target for a moment, and restarts the work on its table.
    """

    due_at: float = 0.0
    pause: float = PAUSE_SECONDS_MIN

    def may_add(self, now: float) -> bool:
        """True when the next addition is due, at the monotonic time."""
        return now >= self.due_at

    def after_addition(self, now: float) -> "Pace":
        """The pace after an addition: doubled pauses, or the shortest after a quiet time."""
        quiet = now - self.due_at > self.pause
        pause = PAUSE_SECONDS_MIN if quiet else min(2 * self.pause, PAUSE_SECONDS_MAX)
        return Pace(now + pause, pause)


@dataclass(frozen=True, slots=True)
class AutoColumn:
    """A column of the name for the attribute of the same name."""

    target: str
    name: str
    type: str

    @property
    def spec(self) -> ColumnSpec:
        """The specification of the column; values of another type stay in the rest."""
        return ColumnSpec(self.name, (self.name,), parse_type(self.type), other_types="rest")


@dataclass(frozen=True, slots=True)
class NoColumn:
    """An attribute that gets no column: the values stay in the rest."""

    target: str
    attribute: str
    reason: str


def with_auto_columns(spec: TableSpec, known: Iterable[AutoColumn]) -> TableSpec:
    """The table with the columns that the targets have by now."""
    by_target: dict[str, list[ColumnSpec]] = {}
    for column in sorted(known, key=lambda column: column.name):
        by_target.setdefault(column.target, []).append(column.spec)
    return replace(
        spec,
        targets=tuple(
            replace(
                target, columns=tuple(by_target.get(".".join(parse_table_name(target.target)), ()))
            )
            if target.auto
            else target
            for target in spec.targets
        ),
    )


def wanted(
    target: TargetMapping, candidates: Mapping[str, str]
) -> tuple[list[AutoColumn], list[NoColumn]]:
    """Columns that attributes of the given types ask of a target, and attributes without one."""
    new: list[AutoColumn] = []
    refused: list[NoColumn] = []
    taken = [column.name for column in target.table.columns]
    for attribute, tag in candidates.items():
        reason = _reason([*taken, *(column.name for column in new)], attribute)
        if tag not in TYPES:
            continue
        if reason is None:
            new.append(AutoColumn(target.name, attribute, TYPES[tag]))
        else:
            refused.append(NoColumn(target.name, label(attribute), reason))
    return new, refused


def with_room(target: TargetMapping, columns: Iterable[AutoColumn]) -> list[AutoColumn]:
    """Columns for which the target still has a place and a free name."""
    chosen: list[AutoColumn] = []
    taken = [column.name for column in target.table.columns]
    for column in columns:
        if _reason([*taken, *(other.name for other in chosen)], column.name) is None:
            chosen.append(column)
    return chosen


def _reason(taken: Sequence[str], attribute: str) -> str | None:
    if attribute in taken:
        return "it holds values of another type than its column"
    if len(taken) >= COLUMNS_MAX:
        return f"the target has {COLUMNS_MAX} columns"
    try:
        check_columns([*taken, attribute], soft=DELETED_AT not in taken)
    except ConfigurationError as error:
        return str(error)
    return None
