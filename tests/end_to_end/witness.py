"""Triggers that write down what happens to a target and to positions, whoever does it."""

from dataclasses import dataclass
from itertools import pairwise

import asyncpg

INSTALL = """
create table witness_rows (
    id bigint generated always as identity, key text not null, old bigint, new bigint,
    session text not null default current_setting('application_name'));
create table witness_positions (
    id bigint generated always as identity, shard text not null, old numeric, new numeric,
    old_epoch bigint not null, new_epoch bigint not null,
    session text not null default current_setting('application_name'));

create function witness_row() returns trigger language plpgsql as $$
begin
    insert into witness_rows (key, old, new)
    values (({key})::text,
            case when tg_op <> 'INSERT' then old.change end,
            case when tg_op <> 'DELETE' then new.change end);
    return null;
end $$;
create trigger witness after insert or update or delete on {table}
    for each row execute function witness_row();

create function witness_position() returns trigger language plpgsql as $$
begin
    insert into public.witness_positions (shard, old, new, old_epoch, new_epoch)
    values (new.stream_arn || new.shard_id, old.last_sequence_number, new.last_sequence_number,
            old.epoch, new.epoch);
    return null;
end $$;
create trigger witness after update on {schema}.shard
    for each row execute function witness_position();
"""


@dataclass(frozen=True, slots=True)
class Written:
    """One write of one row: numbers of the change before and after, None where there is no row."""

    key: str
    old: int | None
    new: int | None
    session: str


async def install(
    dsn: str, table: str, *, key: tuple[str, ...], schema: str = "replicator"
) -> None:
    """Watch a target with a column `change`, and all shards."""
    parts = " || '/' || ".join(f"coalesce(new.{name}, old.{name})::text" for name in key)
    await _execute(dsn, INSTALL.format(table=table, key=parts, schema=schema))


async def written(dsn: str) -> list[Written]:
    """Every write so far, in order."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("select key, old, new, session from witness_rows order by id")
    finally:
        await connection.close()
    return [Written(**row) for row in rows]


async def count(dsn: str) -> int:
    """How many writes there were so far."""
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("select coalesce(max(id), 0) from witness_rows"))
    finally:
        await connection.close()


async def assert_nothing_twice(dsn: str) -> None:
    """Each key only ever goes to a later change, and positions and epochs only grow."""
    newest: dict[str, int] = {}
    for write in await written(dsn):
        if write.new is not None:
            assert write.new > newest.get(write.key, 0), f"{write} after {newest[write.key]}"
            newest[write.key] = write.new
    connection = await asyncpg.connect(dsn)
    try:
        moves = await connection.fetch("select * from witness_positions order by id")
    finally:
        await connection.close()
    by_shard: dict[str, list[asyncpg.Record]] = {}
    for move in moves:
        assert move["new_epoch"] >= move["old_epoch"]
        assert move["old"] is None or move["new"] >= move["old"], move
        by_shard.setdefault(move["shard"], []).append(move)
    for chain in by_shard.values():
        for one, other in pairwise(chain):
            assert (one["new"], one["new_epoch"]) == (other["old"], other["old_epoch"])


async def assert_written_by_claimants(dsn: str) -> None:
    """Only who has the newest claim of a shard moves its position, with which rows are written.

    Not behind a pooler, whose sessions have no names of workers.
    """
    connection = await asyncpg.connect(dsn)
    try:
        moves = await connection.fetch("select * from witness_positions order by id")
    finally:
        await connection.close()
    claimants: dict[str, str] = {}
    for move in moves:
        if move["new_epoch"] > move["old_epoch"]:
            claimants[move["shard"]] = move["session"]
        if move["new"] != move["old"]:
            assert move["session"] == claimants[move["shard"]], move


async def _execute(dsn: str, statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()
