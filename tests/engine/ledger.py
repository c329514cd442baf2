"""What was written to the source, and from it what the target must hold at given positions."""

from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_postgres import Data, Row, Rows, ShardName
from tests.support.scripted_streams.streams import Stream
from tests.support.scripted_streams.tables import Table

ALL = "public.all"
BIG = "public.big"
REFUSED = 666
"""A value of `n` that the fake PostgreSQL takes in no row of ALL."""
NOT_OWED_SECONDS = 23 * 3600.0

Value = int | str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A change that the stream holds or held; `value` None is a removal."""

    shard: ShardName
    number: int
    key: str
    value: Value
    big: bool
    at: float


class _Anything:
    """Stands for a row that nobody can know after records were lost."""

    def __repr__(self) -> str:
        return "anything"


ANYTHING = _Anything()


@dataclass(slots=True)
class Ledger:
    """Every change ever made, by shard, in order."""

    table: Table
    entries: dict[ShardName, list[Entry]] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    streams: list[Stream] = field(default_factory=list)
    lost: set[Entry] = field(default_factory=set)
    """What was trimmed before PostgreSQL had it."""

    def write(self, key: str, value: Value, *, big: bool, at: float) -> None:
        """Write to the source and note what its stream says."""
        self.note_stream()
        self.keys.add(key)
        shard_number = None
        if self.table.stream.disabled_at is None:
            shard_number = self.table.owner({"pk": {"S": key}})
        number = self._put(key, value, big=big)
        if number is not None and shard_number is not None:
            name = self.table.stream_arn, self.table.shard_id(shard_number)
            entry = Entry(name, int(number), key, value, big, at)
            self.entries.setdefault(name, []).append(entry)

    def note_stream(self) -> None:
        """The table has another stream: what happened in between is in neither."""
        if self.table.stream not in self.streams:
            self.streams.append(self.table.stream)

    def _put(self, key: str, value: Value, *, big: bool) -> str | None:
        if value is None:
            return self.table.delete({"pk": {"S": key}})
        typed = {"N": str(value)} if isinstance(value, int) else {"S": value}
        item: dict[str, Any] = {"pk": {"S": key}, "n": typed}
        if big:
            item["kind"] = {"S": "big"}
        return self.table.put(item)

    def note_trimmed(self, data: Data) -> None:
        """Whatever is gone from the source and not yet in PostgreSQL is lost."""
        for stream in self._known_streams():
            for shard in stream.shards.values():
                name = stream.arn, shard.shard_id
                gone = shard.gone or shard.trimmed_answer is not None or stream.has_left
                position = self.position(data, name)
                for index, entry in enumerate(self.entries.get(name, ())):
                    if entry.number > position and (gone or index < shard.log.first):
                        self.lost.add(entry)
        readable = {stream.arn for stream in self.table.streams}
        for name, entries in self.entries.items():
            if name[0] not in readable:
                position = self.position(data, name)
                self.lost.update(entry for entry in entries if entry.number > position)

    def position(self, data: Data, name: ShardName) -> float:
        """Up to which sequence number the shard is applied."""
        if name in data.forgotten:
            return float("inf")
        row = data.shards.get(name)
        return -1 if row is None or row.position is None else row.position

    def unread(self, data: Data) -> list[Entry]:
        """What is still to be applied: not what is lost, nor what only an older stream held."""
        found = []
        for name, entries in self.entries.items():
            row = data.shards.get(name)
            newest = max((table.stream_arn or "" for table in data.tables.values()), default="")
            if (row is None and name[0] < newest) or (row is not None and row.state == "gap"):
                continue  # the gap between two streams, or of the shard, says so
            position = self.position(data, name)
            found += [e for e in entries if e.number > position and e not in self.lost]
        return found

    def within(self, name: ShardName, *, after: int | None, to: int) -> list[Entry]:
        """The entries of a shard in (after, to]."""
        return [
            entry
            for entry in self.entries.get(name, ())
            if (after is None or entry.number > after) and entry.number <= to
        ]

    def expected(self, data: Data) -> dict[str, dict[Row, Any]]:
        """The fold: every change at or below the positions, one by one, in lineage order."""
        rows: dict[str, dict[Row, Any]] = {ALL: {}, BIG: {}}
        for number, stream in enumerate(self._known_streams()):
            if number > 0:  # what happened between two streams is in neither
                for target in rows.values():
                    target.update({(key,): ANYTHING for key in self.keys})
            for shard in stream.shards.values():
                name = stream.arn, shard.shard_id
                position = self.position(data, name)
                for entry in self.entries.get(name, ()):
                    if entry.number <= position:
                        self._apply(entry, rows)
        return rows

    def differences(self, data: Data) -> list[str]:
        """Where the target is not the fold."""
        found = []
        for target, expected in self.expected(data).items():
            actual: Rows = data.rows
            have = actual.get(target, {})
            for key in {*expected, *have}:
                wanted, row = expected.get(key), have.get(key)
                if wanted is not ANYTHING and wanted != row:
                    found.append(f"{target} {key}: {row}, not {wanted}")
        return sorted(found)

    def rejected(self, entry: Entry) -> list[str]:
        """The targets that cannot take this change."""
        if isinstance(entry.value, str):
            return [ALL, BIG] if entry.big else [ALL]
        return [ALL] if entry.value == REFUSED else []

    def _apply(self, entry: Entry, rows: dict[str, dict[Row, Any]]) -> None:
        key = (entry.key,)
        if entry in self.lost:
            rows[ALL][key] = rows[BIG][key] = ANYTHING
            return
        rejected = self.rejected(entry)
        if entry.value is None:
            rows[ALL].pop(key, None)
        elif ALL not in rejected:
            rows[ALL][key] = (entry.key, str(entry.value))
        if entry.value is None or not entry.big:
            rows[BIG].pop(key, None)
        elif BIG not in rejected:
            rows[BIG][key] = (entry.key, str(entry.value))

    def _known_streams(self) -> list[Stream]:
        return self.streams
