"""Tries dead letters again: a row is written only while no newer change of its item was applied.

A batch supersedes the dead letters of the items in the statement that writes the rows, and that
statement sees the rows as they were when it began. So a replay first raises the epochs of the
table's shards: a batch that began before is either committed, and has closed the dead letter, or is
fenced off and begins again behind the replay. Then the dead letter is locked, and what is still
open is written. Where rows are guarded one by one, the version is written first, as every writer
does; a dead letter that is still open behind it has not been overtaken.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import asyncpg

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_batch import UNMATCHED, plan_batch
from replicator.core.planning.row_guard import Versioning, stream_versioning
from replicator.core.planning.write_plan import TargetWrites, WritePlan
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.stream_generations import SCAN
from replicator.core.stream_record import NOWHERE, LetterId, StreamRecord, Version
from replicator.errors import ConfigurationError, Disposition, KeyChanged, RejectionHalts
from replicator.postgres.connection.connect import PIN_WITHIN
from replicator.postgres.connection.database import Database, Session
from replicator.postgres.connection.error_redaction import refusal
from replicator.postgres.connection.error_translation import translate
from replicator.postgres.control.stream.gaps_and_halts import ACTION
from replicator.postgres.control.stream.raise_epochs import RAISE_EPOCHS
from replicator.postgres.write.fence import PASSED
from replicator.postgres.write.plan_writer import PlanWriter

LETTERS_MAX = 100
"""Dead letters of one transaction, for which the table's shards wait. Where rows are guarded a
transaction has one, so that no holder of a version waits for another."""

TABLE = """
-- No change of mode, mapping or snapshot meanwhile.
select t.source, t.mode, t.mapping_fingerprint, t.snapshot_id, s.started_at
  from {schema}.table_state as t
  left join {schema}.snapshot as s on s.id = t.snapshot_id
 where t.deployment = $1 and t.source = $2
   for update of t
"""

OPEN = """
-- Oldest first, so that of several changes of one item in a history none is passed over.
select id, stream_arn, shard_id, target, item_key, event, sequence_number::text as sequence_number,
       extract(epoch from record_created_at)::float8 as created_at, new_image, old_image, expired,
       of_history, first_seen
  from {schema}.dead_letter
 where deployment = $1 and source = $2 and id = any($3::bigint[]) and state = 'open'
 order by sequence_number, id
"""

LOCK = OPEN + "   for update"

STILL_OPEN = "select 1 from {schema}.dead_letter where id = $1 and state = 'open' for update"

CLOSE = """
update {schema}.dead_letter
   set state = $3, closed_at = now(), closed_by = $4, closed_why = $5
 where deployment = $1 and id = any($2::bigint[]) and state = 'open'
returning id, source
"""


class _Overtaken(Exception):
    """A newer change of the item closed the dead letter during the write, which is rolled back."""


@dataclass(frozen=True, slots=True)
class Tried:
    """Result for one dead letter. `closed`: no longer open. `reason`: why it is refused."""

    id: int
    outcome: Literal["replayed", "refused", "closed"]
    reason: str | None = None


class Replay:
    """Replays and discards dead letters of one deployment."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._control = database.control

    async def replay(
        self, mapping: TableMapping, numbers: Sequence[int], *, who: str, why: str | None
    ) -> list[Tried]:
        """Try dead letters of one table again, with the mapping as it is now.

        ConfigurationError when another mapping is registered.
        """
        tried: list[Tried] = []
        while left := numbers[len(tried) :]:
            async with self._database.transaction("replaying dead letters") as connection:
                tried += await self._replay(connection, mapping, left, who, why)
        return tried

    async def discard(self, numbers: Sequence[int], *, who: str, why: str) -> list[int]:
        """Close dead letters without applying them; the ones that were open."""
        async with self._database.transaction("discarding dead letters") as connection:
            return await self._close(connection, numbers, "discarded", who, why)

    async def _replay(
        self,
        connection: Session,
        mapping: TableMapping,
        left: Sequence[int],
        who: str,
        why: str | None,
    ) -> list[Tried]:
        """The first dead letters of those that are left to replay."""
        name = (self._database.deployment, mapping.spec.name)
        table = _fit(await connection.fetchrow(self._control.sql(TABLE), *name), mapping)
        if not OrderingMode.of(table["mode"]).by_versions:
            numbers = left[:LETTERS_MAX]
            await connection.execute(self._control.sql(RAISE_EPOCHS), *name)
            letters = await connection.fetch(self._control.sql(LOCK), *name, list(numbers))
        else:
            numbers = left[:1]
            letters = await connection.fetch(self._control.sql(OPEN), *name, list(numbers))
        writer = PlanWriter(self._database, mapping, PASSED)
        tried = {number: Tried(number, "closed") for number in numbers}
        for letter in letters:
            tried[letter["id"]] = await self._try(connection, mapping, writer, letter, table)
        done = [number for number, each in tried.items() if each.outcome == "replayed"]
        await self._close(connection, done, "replayed", who, why)
        return list(tried.values())

    async def _try(
        self,
        connection: Session,
        mapping: TableMapping,
        writer: PlanWriter,
        letter: asyncpg.Record,
        table: asyncpg.Record,
    ) -> Tried:
        """Write what a dead letter asks for, or nothing."""
        number: int = letter["id"]
        if (reason := _unsafe_now(letter, table)) is not None:
            return Tried(number, "refused", reason)
        try:
            plan = plan_batch([record_of(letter)], mapping, read_at=letter["created_at"] or 0.0)
        except (RejectionHalts, KeyChanged) as error:
            return Tried(number, "refused", str(error))
        asked = _of_target(plan, letter)
        if isinstance(asked, str):
            return Tried(number, "refused", asked)
        try:
            async with connection.transaction():
                newest = await self._write(connection, writer, asked, letter, table)
                # deferred triggers run here, with the path that the write left; the rest without
                await connection.execute(f"set constraints all immediate; {PIN_WITHIN}")
                await self._require_open(connection, number)
        except _Overtaken:
            return Tried(number, "closed")
        except asyncpg.PostgresError as error:
            if (
                translate(error, mapped_columns=writer.mapped_columns).disposition
                is not Disposition.REJECT
            ):
                raise
            return Tried(number, "refused", refusal(error))
        return Tried(number, "replayed" if newest else "closed")

    async def _require_open(self, connection: Session, number: int) -> None:
        if await connection.fetchval(self._control.sql(STILL_OPEN), number) is None:
            raise _Overtaken

    async def _write(
        self,
        connection: Session,
        writer: PlanWriter,
        plan: WritePlan,
        letter: asyncpg.Record,
        table: asyncpg.Record,
    ) -> bool:
        """Write the change; True when it was still wanted."""
        shard_id = letter["shard_id"] or ""
        place = (self._database.deployment, table["source"], letter["stream_arn"], shard_id)
        if not OrderingMode.of(table["mode"]).by_versions:
            await writer.write_within(connection, plan, place)
            return True
        applied = await writer.write_guarded_within(
            connection, plan, place, supersede=False, versioning=_versioning(letter, table)
        )
        return applied is not None and not applied.rejections

    async def _close(
        self,
        connection: Session,
        numbers: Sequence[int],
        state: Literal["replayed", "discarded"],
        who: str,
        why: str | None,
    ) -> list[int]:
        closed = await connection.fetch(
            self._control.sql(CLOSE), self._database.deployment, list(numbers), state, who, why
        )
        by_source: dict[str, list[int]] = {}
        for row in closed:
            by_source.setdefault(row["source"], []).append(row["id"])
        verb = "replay" if state == "replayed" else "discard"
        for source, ids in by_source.items():
            detail = ", ".join(map(str, sorted(ids)))
            await connection.execute(
                self._control.sql(ACTION),
                self._database.deployment,
                source,
                f"{verb} dead letters",
                who,
                why,
                detail,
            )
        return [row["id"] for row in closed]


def record_of(letter: asyncpg.Record) -> StreamRecord:
    """The record that was dead-lettered, unchanged."""
    letter_id = LetterId(int(letter["sequence_number"] or 0))
    return StreamRecord(
        NOWHERE,
        Version(letter_id),
        letter_id,
        letter["event"],
        json.loads(letter["item_key"]),
        _image(letter["new_image"]),
        _image(letter["old_image"]),
        letter["created_at"],
        letter["expired"],
    )


def _versioning(letter: asyncpg.Record, table: asyncpg.Record) -> Versioning:
    if letter["sequence_number"] is None:
        return Versioning("letter", SCAN, table["snapshot_id"])
    return stream_versioning(letter["stream_arn"], table["snapshot_id"])


def _unsafe_now(letter: asyncpg.Record, table: asyncpg.Record) -> str | None:
    """Why a dead letter has to wait for the snapshot under way, which reads all that is older
    again.

    Its row would count as seen and newer than what the scan reads, and stay behind the source.
    """
    started = table["started_at"]
    if started is None or letter["of_history"] or letter["first_seen"] >= started:
        return None
    number = table["snapshot_id"]
    return f"snapshot {number} reads its item again: what is open when it has ended can be replayed"


def _image(text: str | None) -> memoryview | None:
    return None if text is None else memoryview(text.encode())


def _fit(table: asyncpg.Record | None, mapping: TableMapping) -> asyncpg.Record:
    name = mapping.spec.name
    if table is None:
        message = f"table {name!r} is not registered in the control schema"
        raise ConfigurationError(message, remedy="run `replicator migrate`")
    if table["mapping_fingerprint"] != mapping.fingerprint:
        message = f"the mapping of table {name!r} is another one than what is registered"
        raise ConfigurationError(message, remedy="run `replicator migrate`, then replay")
    return table


def _of_target(plan: WritePlan, letter: asyncpg.Record) -> WritePlan | str:
    """The part of a plan that a dead letter is about, or why there is none."""
    name = letter["target"]
    refused = [dead.reason for dead in plan.dead_letters if name in (UNMATCHED, dead.target)]
    if refused:
        return "; ".join(dict.fromkeys(refused))
    writes = [_part(each, name, scanned=letter["sequence_number"] is None) for each in plan.writes]
    if name != UNMATCHED and not any(
        name in (each.target.name, each.target.history) for each in plan.writes
    ):
        return f"the mapping has no target {name} any more: discard it"
    return replace(plan, writes=tuple(writes), dead_letters=(), item_keys=(), item_versions=())


def _part(writes: TargetWrites, name: str, *, scanned: bool) -> TargetWrites:
    """Writes that a dead letter of the name asks of one target; items of a scan are not history."""
    if name == UNMATCHED:
        return replace(writes, appends=[]) if scanned else writes
    if name == writes.target.name:
        return replace(writes, appends=[])
    appends = writes.appends if name == writes.target.history else []
    return TargetWrites(writes.target, appends=appends)
