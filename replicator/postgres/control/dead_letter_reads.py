"""Reads dead letters: what was dead-lettered, why, and what became of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import asyncpg

from replicator.postgres.connection.database import Database

BIGINT_MAX = 2**63 - 1
LetterState = Literal["open", "superseded", "replayed", "discarded"]

MATCHING = """
  from {schema}.dead_letter
 where deployment = $1
   and ($2::text is null or source = $2)
   and ($3::text is null or state = $3)
   and ($4::text is null or position(lower($4) in lower(reason)) > 0)
   and ($5::float8 is null or first_seen <= now() - make_interval(secs => $5))
   and ($6::bigint[] is null or id = any($6))
"""

COUNT = "select count(*)" + MATCHING

LIST = (
    """
-- without images, which may be large
select id, source, target, item_key, event, sequence_number::text as sequence_number, reason,
       first_seen, state, extract(epoch from now() - first_seen)::float8 as age_seconds"""
    + MATCHING
    + """
 order by id
 limit $7
"""
)

GROUPS = (
    """
-- what has the same reason, the most frequent first
select source, target, state, reason, count(*) as letters, count(*) over () as groups,
       (array_agg(id order by id))[1:3] as numbers,
       extract(epoch from now() - min(first_seen))::float8 as age_seconds"""
    + MATCHING
    + """
 group by source, target, state, reason
 order by count(*) desc, min(id)
 limit $7
"""
)

SHOW = """
select id, source, target, item_key, event, sequence_number::text as sequence_number, reason,
       first_seen, state, extract(epoch from now() - first_seen)::float8 as age_seconds,
       stream_arn, shard_id, sqlstate, record_created_at, closed_at, new_image, old_image
  from {schema}.dead_letter
 where deployment = $1 and id = $2
"""


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Filter of dead letters; None: any. `reason` matches a part of it, in any case."""

    source: str | None = None
    state: LetterState | None = "open"
    reason: str | None = None
    older_than_seconds: float | None = None
    numbers: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as a list shows it. `sequence_number` None: from a snapshot."""

    id: int
    source: str
    target: str
    item_key: str
    """Canonical DynamoDB JSON."""
    event: str
    sequence_number: str | None
    reason: str
    first_seen: datetime
    state: LetterState
    age_seconds: float


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """The dead letters of one target with one reason; `numbers` are those of the oldest three."""

    source: str
    target: str
    state: LetterState
    reason: str
    letters: int
    numbers: list[int]
    age_seconds: float
    """Age of the oldest dead letter."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Further facts of a dead letter; images are DynamoDB JSON as received."""

    stream_arn: str
    shard_id: str | None
    sqlstate: str | None
    record_created_at: datetime | None
    closed_at: datetime | None
    new_image: str | None
    old_image: str | None


class DeadLetters:
    """The dead letters of one deployment."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._control = database.control

    async def groups(
        self, wanted: LetterFilter, *, groups_max: int
    ) -> tuple[list[LetterGroup], int]:
        """Matching dead letters by target and reason, the largest groups first, and the number
        of groups.
        """
        async with self._database.connection("reading the dead letters") as connection:
            rows = await connection.fetch(
                self._control.sql(GROUPS), *self._values(wanted), groups_max
            )
        found = [LetterGroup(**_picked(row, LetterGroup)) for row in rows]
        return found, rows[0]["groups"] if rows else 0

    async def list(self, wanted: LetterFilter, *, letters_max: int) -> tuple[list[Letter], int]:
        """The oldest matching dead letters, and the number of all that match."""
        values = self._values(wanted)
        async with self._database.connection("reading the dead letters") as connection:
            total: int = await connection.fetchval(self._control.sql(COUNT), *values)
            rows = await connection.fetch(self._control.sql(LIST), *values, letters_max)
        return [_letter(row) for row in rows], total

    async def show(self, number: int) -> tuple[Letter, Evidence] | None:
        """A dead letter with everything that is known of it; None when there is none."""
        if number > BIGINT_MAX:
            return None
        async with self._database.connection("reading a dead letter") as connection:
            row = await connection.fetchrow(
                self._control.sql(SHOW), self._database.deployment, number
            )
        return None if row is None else (_letter(row), _evidence(row))

    def _values(self, wanted: LetterFilter) -> tuple[object, ...]:
        return (
            self._database.deployment,
            wanted.source,
            wanted.state,
            wanted.reason,
            wanted.older_than_seconds,
            None if wanted.numbers is None else [n for n in wanted.numbers if n <= BIGINT_MAX],
        )


def _letter(row: asyncpg.Record) -> Letter:
    return Letter(**_picked(row, Letter))


def _evidence(row: asyncpg.Record) -> Evidence:
    return Evidence(**_picked(row, Evidence))


def _picked(
    row: asyncpg.Record, kind: type[Letter] | type[Evidence] | type[LetterGroup]
) -> dict[str, Any]:
    return {name: row[name] for name in kind.__dataclass_fields__}
