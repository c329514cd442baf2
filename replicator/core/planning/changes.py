"""Rows of one target and the changes behind the rows: added together, so that both stay in step."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from replicator.core.records import StreamRecord
from replicator.core.values.columnar import Children
from replicator.core.values.row import Row


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows or keys, each beside the change behind it. The lists only grow together."""

    _rows: list[Row] = field(default_factory=list)
    _records: list[StreamRecord] = field(default_factory=list)

    @property
    def rows(self) -> Sequence[Row]:
        """The rows or keys, in order."""
        return self._rows

    @property
    def records(self) -> Sequence[StreamRecord]:
        """The changes behind the rows, in order."""
        return self._records

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: Row, record: StreamRecord) -> None:
        """One more."""
        self._rows.append(row)
        self._records.append(record)

    def extend(self, rows: Sequence[Row], records: Sequence[StreamRecord]) -> None:
        """As many more; ValueError where a row has no change, or a change no row."""
        if len(rows) != len(records):
            message = f"{len(rows)} rows of {len(records)} changes"
            raise ValueError(message)
        self._rows.extend(rows)
        self._records.extend(records)

    def take(self, others: "Changes") -> None:
        """All of the others' as well."""
        self.extend(others.rows, others.records)

    def take_only(self, others: "Changes", places: Iterable[int]) -> None:
        """Add the entries of another list at the given places."""
        for place in places:
            self.add(others.rows[place], others.records[place])


@dataclass(frozen=True, slots=True)
class Upserts(Changes):
    """Rows in the present state, for a target with child tables together with the rows."""

    _children: list[Children] = field(default_factory=list)
    _beneath: dict[int, StreamRecord] = field(default_factory=dict)

    @property
    def children(self) -> Sequence[Children]:
        """For each row the rows of child tables; none where the target has no child table."""
        return self._children

    @property
    def beneath(self) -> Mapping[int, StreamRecord]:
        """For rows that are softly deleted, by the places, the changes before the deletion that
        the values are of.
        """
        return self._beneath

    def add_whole(
        self,
        row: Row,
        record: StreamRecord,
        children: Children,
        *,
        beneath: StreamRecord | None = None,
    ) -> None:
        """One more, with the rows of the child tables; ValueError where others have none."""
        self._require_alike(bool(children))
        if beneath is not None:
            self._beneath[len(self._rows)] = beneath
        if children:
            self._children.append(children)
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
        self._children.extend(children)

    def _require_alike(self, having: bool) -> None:
        if self._rows and having != bool(self._children):
            raise ValueError("a row without the rows of its child tables")
