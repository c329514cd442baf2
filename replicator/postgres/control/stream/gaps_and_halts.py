"""Gaps, halts and pauses on record: each in one transaction that fences every worker off."""

from dataclasses import dataclass
from datetime import datetime

from replicator.core.stream.claims import Claim
from replicator.core.stream.gap_proof import older_stream
from replicator.core.stream.source_kind import is_created_again
from replicator.core.stream.table_and_shard_facts import (
    Belief,
    DeadLetterCounts,
    GapFacts,
    Halting,
    StreamOver,
)
from replicator.core.telemetry_events import GapKind
from replicator.errors import ConfigurationError, Fenced
from replicator.postgres.connection.database import Database, Session
from replicator.postgres.control.stream.generations import (
    LOCK_TABLE,
    Stream,
    make_current,
    start_stream,
)
from replicator.postgres.control.stream.raise_epochs import raise_epochs
from replicator.postgres.control.stream.table_and_shard_store import OPEN_GAPS

HALT = """
with before as (
    select halted from {schema}.table_state
     where deployment = $1
       and source = $2
       and ($6::text is null or (stream_arn, mapping_fingerprint) is not distinct from ($5, $6))
       for update)
update {schema}.table_state as t
   set halted = true,
       reason = case when t.halted then t.reason else $3 end,
       remedy = case when t.halted then t.remedy else $4 end,
       changed_at = case when t.halted then t.changed_at else now() end,
       stopped_at = coalesce(t.stopped_at, now())
  from before
 where t.deployment = $1 and t.source = $2
returning before.halted
"""

PAUSE = """
update {schema}.table_state
   set paused = $3,
       changed_at = now(),
       stopped_at = case when $3 then coalesce(stopped_at, now()) end
 where deployment = $1 and source = $2
returning halted
"""

UNHALT = """
update {schema}.table_state
   set halted = false, reason = null, remedy = null
 where deployment = $1 and source = $2
"""

ADD_GAP = """
-- `since`: all that is older is applied, and `cuts` the same of each shard. Of a shard that was to
-- be read the shard tells it; between two streams the shards do with which the one before ended;
-- else nobody knows. Nor does anybody where a shard was read behind $8, when the next stream of
-- that ARN was created: what was read last was the next one's, and tells nothing of the one before.
with place as (
    select s.safe_at
      from {schema}.shard as s
     where (s.deployment, s.stream_arn, s.shard_id) = ($1, $3, $4)
       and $7::text = 'shard'
     union all
    select s.safe_at
      from {schema}.shard as s
     where (s.deployment, s.source, s.stream_arn) = ($1, $2, $7)
       and not exists (select from {schema}.shard as child
                        where (child.deployment, child.stream_arn) = (s.deployment, s.stream_arn)
                          and s.shard_id in (child.parent_id, child.adjacent_parent_id))),
known as (
    select min(safe_at) as since, array_agg(distinct safe_at) as cuts,
           count(*) = count(safe_at) and coalesce(max(safe_at) <= $8::timestamptz, true) as so
      from place)
insert into {schema}.gap (deployment, source, stream_arn, shard_id, kind, detail, since, cuts)
select $1, $2, $3, $4, $5, $6,
       case when so then known.since end, case when so then known.cuts end
  from known
    on conflict do nothing
returning id
"""

ADD_BREAK = """
-- One for each outage, which lasts until the table is seen to publish again, accepted or not.
insert into {schema}.gap (deployment, source, stream_arn, kind, detail, lasts)
values ($1, $2, $3, 'possible', $4, $5)
    on conflict do nothing
returning id
"""

GO_ON = """
-- A gap of the stream that nobody has decided about tells of this outage, too.
update {schema}.gap
   set lasts = true
 where (deployment, source, stream_arn, state) = ($1, $2, $3, 'open') and shard_id is null
   and not exists (select from {schema}.gap as other
                    where (other.deployment, other.source, other.stream_arn) = ($1, $2, $3)
                      and other.lasts)
"""

END_BREAK = """
update {schema}.gap
   set lasts = false,
       detail = detail || '; seen to end at '
                       || to_char(now() at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS')
 where (deployment, source, stream_arn) = ($1, $2, $3) and lasts
returning id
"""

CREATED_AFTER = """
-- Once for each table of that name: the detail tells its time.
select 1
  from {schema}.generation
 where (deployment, source, stream_arn) = ($1, $2, $3) and label_at < $4
   and not exists (select from {schema}.gap
                    where (deployment, source, stream_arn, detail) = ($1, $2, $3, $5)
                      and shard_id is null)
"""

LEADS_ON = """
-- Only the stream that the source showed last is one to go on with.
update {schema}.gap
   set makes_current = (stream_arn = $3)
 where deployment = $1 and source = $2 and state = 'open' and shard_id is null
   and makes_current <> (stream_arn = $3)
"""

STOP_SHARD = """
-- An earlier gap that was accepted says nothing about this one.
update {schema}.shard
   set state = 'gap', gap_accepted_at = null, epoch = epoch + 1, owner = null
 where (deployment, stream_arn, shard_id) = ($1, $2, $3)
   and (epoch, claim_id) = ($4, $5)
   and state = 'active'
returning 1
"""

ACCEPT_GAPS = """
update {schema}.gap
   set state = 'accepted', closed_at = now(), closed_by = $3, closed_why = $4, snapshot_id = $6
 where deployment = $1 and source = $2 and state = 'open'
   and ($5::bigint is null or id = $5)
returning id, stream_arn, shard_id, makes_current
"""

REOPEN_SHARD = """
-- Whatever of it can still be read is read; what cannot ends it. What an older stream still holds
-- is older than rows that the newer one may have written: it is never read again.
update {schema}.shard
   set state = case when older.stream then 'gap' else 'waiting' end,
       done_at = case when older.stream then now() end,
       gap_accepted_at = now(),
       epoch = epoch + 1
  from (select exists (
          select from {schema}.generation own
            join {schema}.generation newer
              on (newer.deployment, newer.source) = (own.deployment, own.source)
             and (newer.label_at, newer.stream_arn) > (own.label_at, own.stream_arn)
           where (own.deployment, own.stream_arn) = ($1, $2)) as stream) as older
 where deployment = $1 and stream_arn = $2 and shard_id = $3 and state = 'gap'
"""

ACCEPT_OLDER_STREAMS = """
-- The gap before a new stream is the end of what the older ones left unread.
update {schema}.shard as s
   set gap_accepted_at = coalesce(s.gap_accepted_at, now()),
       done_at = coalesce(s.done_at, now())
  from {schema}.generation older, {schema}.generation newer
 where s.deployment = $1 and s.source = $2 and s.state = 'gap'
   and (older.deployment, older.source, older.stream_arn) = ($1, $2, s.stream_arn)
   and (newer.deployment, newer.source, newer.stream_arn) = ($1, $2, $3)
   and (older.label_at, older.stream_arn) < (newer.label_at, newer.stream_arn)
"""

CLOSE_GONE_SHARD = """
update {schema}.shard
   set state = 'gap', done_at = now(), epoch = epoch + 1, owner = null
 where (deployment, stream_arn, shard_id) = ($1, $2, $3)
   and (epoch, claim_id) = ($4, $5)
   and state = 'active'
   and gap_accepted_at is not null
returning 1
"""

NEVER_OWED = """
-- Unless it was listed since it was claimed: from then on all of it is owed.
update {schema}.shard
   set state = 'done', done_at = now(), epoch = epoch + 1, owner = null
 where (deployment, stream_arn, shard_id) = ($1, $2, $3)
   and (epoch, claim_id) = ($4, $5)
   and state = 'active'
   and last_sequence_number is null
   and not listed
returning 1
"""

ACTION = """
insert into {schema}.action (deployment, source, verb, who, why, detail)
values ($1, $2, $3, $4, $5, $6)
"""

DEAD_LETTERS = """
-- Those that are open, and those of the last hour: what somebody resumed after is not held against
-- the table again.
select count(*) filter (where state = 'open') as open,
       count(*) filter (where first_seen > greatest(
           now() - interval '1 hour',
           (select max(at) from {schema}.action
             where deployment = $1 and source = $2 and verb = 'resume'))) as last_hour
  from {schema}.dead_letter
 where deployment = $1 and source = $2
   and (state = 'open' or first_seen > now() - interval '1 hour')
"""

FORGET_DEAD_LETTERS = """
-- Never an open one; a few at a time, so that nobody waits.
delete from {schema}.dead_letter
 where id = any(array(
       select id from {schema}.dead_letter
        where deployment = $1 and source = $2 and state <> 'open'
          and first_seen < now() - make_interval(days => $3)
          and closed_at < now() - make_interval(days => $3)
        limit 1000))
"""


@dataclass(frozen=True, slots=True)
class GapPlace:
    """The stream, and the shard where it is known, of which records may be lost."""

    stream_arn: str
    shard_id: str | None


class GapsAndHalts:
    """Records gaps, halts and pauses, accepts and lifts them: tables and shards stop and resume.

    What changes more than one shard or gap locks the table's row first, so that two of them wait
    for each other and never in a circle; `add_gap` and the ends of a shard need its claim alone.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._deployment = database.deployment
        self._control = database.control

    async def halt(
        self, source: str, *, reason: str, remedy: str, seen: Belief | None = None
    ) -> Halting:
        """Stop a table until `resume`; no worker's batch in flight can commit after.

        "stale", and nothing happened, where the table is not as the caller believes any more;
        "already" where the table was halted before: the reason of that halt stays.
        """
        stream_arn, fingerprint = (
            (seen.stream_arn, seen.mapping_fingerprint) if seen else (None, None)
        )
        async with self._database.transaction("halting a table") as connection:
            before: bool | None = await connection.fetchval(
                self._control.sql(HALT),
                *(self._deployment, source, reason, remedy, stream_arn, fingerprint),
            )
            if before is None:
                return "stale"
            await raise_epochs(connection, self._control, self._deployment, source)
        return "already" if before else "halted"

    async def add_gap(self, claim: Claim, *, kind: GapKind, detail: str) -> None:
        """Record a gap of a shard and stop it until the gap is accepted; Fenced."""
        async with self._database.transaction("recording a gap") as connection:
            await self._end(connection, STOP_SHARD, claim)
            await connection.execute(
                self._control.sql(ADD_GAP),
                self._deployment,
                claim.source,
                claim.stream_arn,
                claim.shard_id,
                kind,
                detail,
                "shard",
                None,
            )

    async def note_gap(self, source: str, place: GapPlace, *, kind: GapKind, detail: str) -> None:
        """Record a gap that stops nobody: of records that no shard of ours was to read."""
        async with self._database.connection("recording a gap") as connection:
            await connection.execute(
                self._control.sql(ADD_GAP),
                *(self._deployment, source, place.stream_arn, place.shard_id, kind, detail),
                *(None, None),
            )

    async def start_stream(
        self,
        source: str,
        stream_arn: str,
        *,
        label_at: datetime,
        detail: str,
        after: StreamOver | None = None,
    ) -> str | None:
        """Note a stream of the table; the newest by label becomes the current one.

        The same transaction ends what is left of older streams and records the gap before this one,
        if there were any; returns the detail then. A stream that is older than the current one,
        which is over, becomes current when the gap is accepted, and not before. Fenced when the
        current one is another than the caller saw the end of, or not over any more.
        """
        async with self._database.transaction("starting a stream") as connection:
            started = await start_stream(
                connection,
                self._control,
                Stream(self._deployment, source, stream_arn, label_at),
                after=after,
            )
            if started is None:
                return None
            order, current = started
            told = detail if order == "newer" else older_stream(stream_arn, current)
            again = current != "" and is_created_again(stream_arn, current)
            gap = await connection.fetchval(
                self._control.sql(ADD_GAP),
                *(self._deployment, source, stream_arn, None, "possible", told, current or None),
                label_at if again else None,
            )
            aside = stream_arn if order == "older" else ""
            await connection.execute(self._control.sql(LEADS_ON), self._deployment, source, aside)
        return None if gap is None else told

    async def add_break(
        self, source: str, stream_arn: str, *, detail: str, created_at: datetime | None = None
    ) -> bool:
        """Record a possible gap of changes that never reached the table's stream, which stops the
        table until the gap is accepted; False where such a gap is open, or lasts since its
        acceptance.

        The break lasts until `end_break`. With `created_at`, the time of the table's creation, the
        gap is recorded once, only where that was after the stream was first seen, and is over at
        once.
        """
        name = (self._deployment, source)
        async with self._database.transaction("recording a gap") as connection:
            if created_at is not None and not await connection.fetchval(
                self._control.sql(CREATED_AFTER), *name, stream_arn, created_at, detail
            ):
                return False
            await connection.execute(self._control.sql(LOCK_TABLE), *name)
            if created_at is None:
                await connection.execute(self._control.sql(GO_ON), *name, stream_arn)
            gap = await connection.fetchval(
                self._control.sql(ADD_BREAK), *name, stream_arn, detail, created_at is None
            )
            if gap is not None:
                await raise_epochs(connection, self._control, *name)
        return gap is not None

    async def end_break(self, source: str, stream_arn: str) -> bool:
        """Note that changes reach the table's stream: another break is another gap. False where
        none lasted.
        """
        async with self._database.connection("ending a break") as connection:
            ended = await connection.fetchval(
                self._control.sql(END_BREAK), self._deployment, source, stream_arn
            )
        return ended is not None

    async def accept_gaps(
        self, source: str, *, who: str, why: str, gap_id: int | None = None
    ) -> int:
        """Accept that the records of a table's open gaps are lost; returns how many were open."""
        async with self._database.transaction("accepting a gap") as connection:
            await connection.execute(self._control.sql(LOCK_TABLE), self._deployment, source)
            return await accept_gaps(
                connection, self._database, source, who=who, why=why, gap_id=gap_id
            )

    async def close_gone_shard(self, claim: Claim) -> None:
        """End a shard whose gap was accepted and of which nothing can be read any more; Fenced."""
        async with self._database.transaction("ending a shard") as connection:
            await self._end(connection, CLOSE_GONE_SHARD, claim)

    async def close_never_owed(self, claim: Claim) -> None:
        """End a shard that only a child named and that the source says is trimmed; Fenced."""
        async with self._database.transaction("ending a shard") as connection:
            await self._end(connection, NEVER_OWED, claim)

    async def _end(self, connection: Session, text: str, claim: Claim) -> None:
        """Only the holder of a shard's claim says that nothing of the shard can be read."""
        ended = await connection.fetchval(
            self._control.sql(text),
            *(self._deployment, claim.stream_arn, claim.shard_id, claim.epoch, claim.claim_id),
        )
        if ended is None:
            message = f"shard {claim.shard_id} was claimed by another worker"
            raise Fenced(message)

    async def dead_letters(self, source: str) -> DeadLetterCounts:
        """Number of open dead letters of a table, and of those that the last hour brought."""
        async with self._database.connection("counting dead letters") as connection:
            row = await connection.fetchrow(
                self._control.sql(DEAD_LETTERS), self._deployment, source
            )
        return DeadLetterCounts(row["open"], row["last_hour"]) if row else DeadLetterCounts(0, 0)

    async def forget_dead_letters(self, source: str, *, retention_days: int) -> None:
        """Drop dead letters that were closed so long ago."""
        async with self._database.connection("forgetting dead letters") as connection:
            await connection.execute(
                self._control.sql(FORGET_DEAD_LETTERS), self._deployment, source, retention_days
            )

    async def set_paused(self, source: str, *, paused: bool, who: str, why: str | None) -> None:
        """Pause or resume a table; resuming also lifts a halt."""
        verb = "pause" if paused else "resume"
        async with self._database.transaction(f"{verb} of a table") as connection:
            known = await connection.fetchrow(
                self._control.sql(PAUSE), self._deployment, source, paused
            )
            if known is None:
                message = f"table {source!r} is not known in the control schema"
                raise ConfigurationError(message, remedy="`replicator status` names the tables")
            if not paused:
                await connection.execute(self._control.sql(UNHALT), self._deployment, source)
            await raise_epochs(connection, self._control, self._deployment, source)
            await connection.execute(
                self._control.sql(ACTION), self._deployment, source, verb, who, why, None
            )

    async def note(self, source: str, verb: str, *, who: str, why: str | None, detail: str) -> None:
        """Record what a person did to a table by hand."""
        async with self._database.connection("recording an action") as connection:
            await connection.execute(
                self._control.sql(ACTION), self._deployment, source, verb, who, why, detail
            )

    async def gaps(self) -> list[GapFacts]:
        """Every open gap of the deployment, oldest first."""
        async with self._database.connection("reading the gaps") as connection:
            rows = await connection.fetch(self._control.sql(OPEN_GAPS), self._deployment, None)
        return [GapFacts(**row) for row in rows]


async def accept_gaps(
    connection: Session,
    database: Database,
    source: str,
    *,
    who: str,
    why: str,
    gap_id: int | None = None,
    snapshot_id: int | None = None,
) -> int:
    """Accept gaps within the caller's transaction; `snapshot_id` is what is to heal them."""
    control, deployment = database.control, database.deployment
    gaps = await connection.fetch(
        control.sql(ACCEPT_GAPS), deployment, source, who, why, gap_id, snapshot_id
    )
    for gap in gaps:
        stream_arn, shard_id = gap["stream_arn"], gap["shard_id"]
        if shard_id is None:
            if gap["makes_current"] and await make_current(
                connection, control, deployment, source, stream_arn
            ):
                await raise_epochs(connection, control, deployment, source)
            await connection.execute(
                control.sql(ACCEPT_OLDER_STREAMS), deployment, source, stream_arn
            )
        else:
            await connection.execute(control.sql(REOPEN_SHARD), deployment, stream_arn, shard_id)
    if gaps:
        numbers = ", ".join(str(gap["id"]) for gap in gaps)
        await connection.execute(
            control.sql(ACTION), deployment, source, "accept gap", who, why, numbers
        )
    return len(gaps)
