"""A write plan as facts: rows of each target beside the changes behind the rows, and outcomes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.planning.dead_letter import DeadLetter
from replicator.core.planning.history_rows import HistoryRow
from replicator.core.stream_record import Image, StreamRecord, Version
from replicator.core.telemetry_events import RecordOutcome
from replicator.core.values.columnar_rows import Children
from replicator.core.values.row_builder import Row


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows or keys in order, each beside the change behind it. The lists only grow together."""

    rows: list[Row] = field(default_factory=list)
    records: list[StreamRecord] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, row: Row, record: StreamRecord) -> None:
        """Add one row or key."""
        self.rows.append(row)
        self.records.append(record)

    def extend(self, rows: Sequence[Row], records: Sequence[StreamRecord]) -> None:
        """Add several rows or keys; ValueError where a row has no change, or a change no row."""
        if len(rows) != len(records):
            message = f"{len(rows)} rows of {len(records)} changes"
            raise ValueError(message)
        self.rows.extend(rows)
        self.records.extend(records)

    def take(self, others: "Changes") -> None:
        """Add all entries of another list."""
        self.extend(others.rows, others.records)

    def take_only(self, others: "Changes", places: Iterable[int]) -> None:
        """Add the entries of another list at the given places."""
        for place in places:
            self.add(others.rows[place], others.records[place])


@dataclass(frozen=True, slots=True)
class Upserts(Changes):
    """Rows in the present state, for a target with child tables together with the rows."""

    children: list[Children] = field(default_factory=list)
    """For each row the rows of child tables; none where the target has no child table."""
    beneath: dict[int, StreamRecord] = field(default_factory=dict)
    """For rows that are softly deleted, by the places, the changes before the deletion that the
    values are of."""

    def add_whole(
        self,
        row: Row,
        record: StreamRecord,
        children: Children,
        *,
        beneath: StreamRecord | None = None,
    ) -> None:
        """Add one row with the rows of the child tables; ValueError where others have none."""
        self._require_alike(bool(children))
        if beneath is not None:
            self.beneath[len(self.rows)] = beneath
        if children:
            self.children.append(children)
        self.add(row, record)

    def extend_whole(
        self, rows: Sequence[Row], records: Sequence[StreamRecord], children: Sequence[Children]
    ) -> None:
        """Add as many entries; ValueError where the lists are incomplete or differ in length."""
        if rows:
            self._require_alike(bool(children))
        if children and len(children) != len(rows):
            message = f"{len(rows)} rows with child rows of {len(children)}"
            raise ValueError(message)
        self.extend(rows, records)
        self.children.extend(children)

    def _require_alike(self, having: bool) -> None:
        if self.rows and having != bool(self.children):
            raise ValueError("a row without the rows of its child tables")


@dataclass(frozen=True, slots=True)
class TargetWrites:
    """Writes of one transaction to one target; no key occurs twice.

    Rows and keys hold values in PostgreSQL's input syntax, in the order of the target's columns. A
    soft delete is the key followed by the time of deletion. `appends` are all changes for the
    target's history, in order. Beside each row or key stands the change behind it, which is the
    version of the row. `kept` are the keys of items with a rejected newest change, with that
    change: their rows are still wanted.
    """

    target: TargetMapping
    upserted: Upserts = field(default_factory=Upserts)
    deleted: Changes = field(default_factory=Changes)
    softly_deleted: Changes = field(default_factory=Changes)
    appends: list[HistoryRow] = field(default_factory=list)
    appended: list[StreamRecord] = field(default_factory=list)
    """The changes behind the appends, where superseded changes are not appended."""
    kept: Changes = field(default_factory=Changes)
    sweep: bool = False
    """True to remove child rows of soft deletes that have no row; a row keeps the children."""


@dataclass(frozen=True, slots=True)
class WritePlan:
    """Writes of one transaction, and the outcome of each record of the batch."""

    writes: tuple[TargetWrites, ...]
    dead_letters: tuple[DeadLetter, ...]
    item_keys: tuple[Image, ...]
    """The key of every item of the batch: the older open dead letters are superseded."""
    outcomes: Mapping[RecordOutcome, int]
    unmapped: Mapping[str, Mapping[str, int]]
    """Attributes that nothing takes, by target."""
    unmatched: int = 0
    """Items that no target takes."""
    item_versions: tuple[Version, ...] = ()
    """The sequence number of the newest change of each item of `item_keys`."""
    ranks: bytes = b""
    """The Rank of each record of the batch, in order."""
    unmapped_types: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """DynamoDB's letters for the type that each of `unmapped` had once."""
    candidates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For targets with `columns: auto` the attributes that could be columns, with the types."""

    @property
    def rows(self) -> int:
        """Number of rows to write."""
        return sum(
            len(writes.upserted) + len(writes.deleted) + len(writes.softly_deleted)
            for writes in self.writes
        )


Refusals = Mapping[str, tuple[str, str | None]]
"""Why PostgreSQL refused a row: reason and SQLSTATE by the name of a target or history."""
