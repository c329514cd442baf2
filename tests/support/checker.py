"""What PostgreSQL itself saw of a run: a log kept by triggers, and the laws it must obey."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import asyncpg

from tests.support.comparison import Rows
from tests.support.oracle import Column, Target

KEY = {"pk": "S"}
COLUMNS = (Column.of("n", "bigint"), Column.of("payload", "text"))
CONFIGURED = {"n": "bigint", "payload": "text"}

SCHEMA = """
create schema watch;
create table watch.log (
    id       bigint generated always as identity,
    at       timestamptz not null default clock_timestamp(),
    xid      text not null default pg_current_xact_id()::text,
    session  text not null default current_setting('application_name'),
    stream   text, shard text, parent text, epoch bigint, position numeric, state text,
    finished boolean, moved boolean,
    target   text, key text, old bigint, new bigint
);
create function watch.shard() returns trigger language plpgsql security definer as $$
begin
    insert into watch.log (stream, shard, parent, epoch, position, state, finished, moved)
    values (new.stream_arn, new.shard_id, new.parent_id, new.epoch, new.last_sequence_number,
            new.state,
            new.state = 'done' or new.state = 'gap' and new.gap_accepted_at is not null,
            tg_op = 'UPDATE' and new.last_sequence_number is distinct from
                                 old.last_sequence_number);
    return null;
end $$;
create trigger watch after insert or update on {control}.shard
    for each row execute function watch.shard();
create function watch.target() returns trigger language plpgsql security definer as $$
begin
    insert into watch.log (target, key, old, new)
    values (tg_table_name, coalesce(new.pk, old.pk),
            case when tg_op <> 'INSERT' then old.n end,
            case when tg_op <> 'DELETE' then new.n end);
    return null;
end $$;
"""
TARGET = """
create trigger watch after insert or update or delete on {table}
    for each row execute function watch.target();
"""


@dataclass(frozen=True, slots=True)
class ShardChange:
    """A row of `shard` as a transaction left it; `moved`: its position is another than before."""

    id: int
    xid: str
    session: str
    stream: str
    shard: str
    parent: str | None
    epoch: int
    position: Decimal | None
    state: str
    finished: bool
    moved: bool


@dataclass(frozen=True, slots=True)
class RowChange:
    """A write of a target's row: the numbers of the change before and after, None for no row."""

    id: int
    xid: str
    session: str
    target: str
    key: str
    old: int | None
    new: int | None


@dataclass(frozen=True, slots=True)
class Log:
    """All that was committed, in an order that is right for each shard and for each row."""

    shards: tuple[ShardChange, ...]
    rows: tuple[RowChange, ...]

    def obeys(self) -> None:
        """Assert every law that holds whatever happened."""
        self.nothing_twice()
        self.nothing_unfenced()
        self.parents_first()

    def nothing_twice(self) -> None:
        """Every row only goes to later changes: none is written again, none comes back."""
        newest: dict[tuple[str, str], int] = {}
        for row in self.rows:
            if row.new is not None:
                before = newest.get((row.target, row.key), 0)
                assert row.new > before, f"{row} after {before}"
                newest[row.target, row.key] = row.new

    def nothing_unfenced(self) -> None:
        """Rows change only with a position, under the newest epoch, and positions only grow."""
        newest: dict[tuple[str, str], ShardChange] = {}
        moves: dict[str, list[ShardChange]] = defaultdict(list)
        for change in self.shards:
            before = newest.get((change.stream, change.shard))
            if before is not None:
                assert change.epoch >= before.epoch, f"{change} after {before}"
                if change.moved and before.position is not None:
                    assert change.position is not None, change
                    assert change.position > before.position, f"{change} after {before}"
                if change.moved:
                    assert before.state == "active", f"{change} after {before}"
            newest[change.stream, change.shard] = change
            if change.moved:
                moves[change.xid].append(change)
        for row in self.rows:
            assert len(moves[row.xid]) == 1, f"{row} with {moves[row.xid]}"

    def written_by_claimants(self) -> None:
        """Only who has the newest claim of a shard moves its position, with which rows are written.

        Not behind a pooler, whose sessions have no names of workers.
        """
        claimants: dict[tuple[str, str], str] = {}
        epochs: dict[tuple[str, str], int] = {}
        for change in self.shards:
            shard = change.stream, change.shard
            if change.state == "active" and change.epoch > epochs.get(shard, 0):
                claimants[shard], epochs[shard] = change.session, change.epoch
            if change.moved:
                assert change.session == claimants[shard], (
                    f"{change}, claimed by {claimants[shard]}"
                )

    def parents_first(self, parents: Mapping[str, str] | None = None) -> None:
        """No shard is claimed before its parent is done or its loss was accepted.

        `parents` adds what the control schema may not know.
        """
        finished: dict[tuple[str, str], bool] = {}
        for change in self.shards:
            parent = change.parent or (parents or {}).get(change.shard)
            if change.state == "active" and parent is not None:
                # a parent that is not on record was finished and cleaned away
                assert finished.get((change.stream, parent), True), f"{change} before its parent"
            finished[change.stream, change.shard] = change.finished

    def claims(self, shard: str) -> list[ShardChange]:
        """Every claim of a shard: its epoch grows and it is active."""
        found: list[ShardChange] = []
        epoch = 0
        for change in self.shards:
            if change.shard == shard and change.epoch > epoch:
                epoch = change.epoch
                if change.state == "active":
                    found.append(change)
        return found


async def install(dsn: str, tables: Iterable[str], *, control: str = "replicator") -> None:
    """Watch the shards and these targets, which have the columns `pk` and `n`."""
    statements = [SCHEMA.format(control=control)]
    statements += [TARGET.format(table=table) for table in tables]
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("".join(statements))
    finally:
        await connection.close()


async def read_log(dsn: str) -> Log:
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.fetch("select * from watch.log order by id")
    finally:
        await connection.close()
    shards = [
        ShardChange(**{name: row[name] for name in ShardChange.__slots__})
        for row in found
        if row["shard"] is not None
    ]
    rows = [
        RowChange(**{name: row[name] for name in RowChange.__slots__})
        for row in found
        if row["shard"] is None
    ]
    return Log(tuple(shards), tuple(rows))


def expected_rows(items: Iterable[Mapping[str, Mapping[str, object]]]) -> Rows:
    """The rows of a target with COLUMNS that these items, as a scan finds them, must become."""
    target = Target(KEY, COLUMNS)
    for item in items:
        target.put(item)
    assert not target.rejected
    return target.rows
