"""The fence's own statements: claim a shard, end or leave a shard, read the position."""

from datetime import datetime

from replicator.core.stream.claims import Claim
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.shard_load import ShardLoad
from replicator.core.stream_record import Position
from replicator.errors import Fenced, NotClaimable, PositionLost
from replicator.postgres.connection.database import Database, Session
from replicator.postgres.connection.end_former_owner import ClaimTransactions
from replicator.postgres.control.stream.table_and_shard_store import position_of, position_text

LOCK_TABLE_STATE = """
-- A changed mapping or mode waits for this lock and then raises the epoch, or is seen here.
select mode, snapshot_id, mapping_fingerprint, initial_load, start_at, paused, halted,
       (select label_at from {schema}.generation g
         where (g.deployment, g.source, g.stream_arn) = ($1, $2, $3)) as begun_at,
       (select retention from {schema}.generation g
         where (g.deployment, g.source, g.stream_arn) = ($1, $2, $3)) as retention,
       exists (select from {schema}.gap g
                where (g.deployment, g.source) = ($1, $2) and g.state = 'open') as gapped,
       exists (select from {schema}.dead_letter l
                where (l.deployment, l.source) = ($1, $2) and l.state = 'open') as open_letters
  from {schema}.table_state
 where deployment = $1 and source = $2
   for share
"""

CLAIM = """
-- From here on no older claim can write. A child starts when nothing of its parent will be read.
update {schema}.shard as s
   set epoch = s.epoch + 1,
       claimed_epoch = s.epoch + 1,
       claim_id = gen_random_uuid(),
       owner = $4,
       state = 'active',
       claimed_at = now(),
       safe_at = coalesce(s.safe_at, p.safe_at),
       load = coalesce(s.load, p.load, 0)
  from (-- of two parents, as a merge has them, the one that is less far counts
        select min(p.found_at) as found_at, sum(p.load) as load,
               case when count(*) = count(p.safe_at) then min(p.safe_at) end as safe_at,
               coalesce(bool_and(p.state = 'done'
                                 or p.state = 'gap' and p.gap_accepted_at is not null),
                        true) as read
          from {schema}.shard as c
          join {schema}.shard as p
            on p.deployment = $1 and p.stream_arn = $2
           and p.shard_id in (c.parent_id, c.adjacent_parent_id)
         where c.deployment = $1 and c.stream_arn = $2 and c.shard_id = $3) as p
 where s.deployment = $1
   and s.stream_arn = $2
   and s.shard_id = $3
   and s.state in ('waiting', 'active')
   and p.read
returning s.epoch, s.claim_id, s.last_sequence_number::text as position,
          s.known_sequence_number::text as known, s.safe_at, s.load,
          least(s.found_at, p.found_at) as found_at, s.gap_accepted_at, s.listed
"""

OWNER = """
select owner, state from {schema}.shard
 where deployment = $1 and stream_arn = $2 and shard_id = $3
"""

LOOKED = """
-- An answer without records: the source was read, and perhaps there is no more. It says so behind
-- our position: where the shard stands elsewhere, a failover has lost what we committed.
update {schema}.shard
   set polled_at = greatest(polled_at, $6),
       head_at = case when $7 then greatest(head_at, $6) else head_at end,
       safe_at = case when $7 then greatest(safe_at, $6) else safe_at end,
       load = $9::float4
 where (deployment, stream_arn, shard_id) = ($1, $2, $3)
   and (epoch, claim_id) = ($4, $5)
   and state = 'active'
   and last_sequence_number is not distinct from $8::text::numeric
returning 1
"""

FINISH = """
-- All records of the shard are committed: after this no claim of it can write.
update {schema}.shard
   set state = 'done', done_at = now(), owner = null
 where (deployment, stream_arn, shard_id) = ($1, $2, $3)
   and (epoch, claim_id) = ($4, $5)
   and state = 'active'
   and last_sequence_number is not distinct from $6::text::numeric
returning 1
"""

LEAVE = """
update {schema}.shard
   set owner = null
 where (deployment, stream_arn, shard_id) = ($1, $2, $3)
   and (epoch, claim_id) = ($4, $5)
"""

SWITCHED = """
-- The epoch was raised, and not by another claim.
select claimed_epoch = $4 and epoch > $4 and claim_id = $5 from {schema}.shard
 where (deployment, stream_arn, shard_id) = ($1, $2, $3)
"""


class Claims:
    """Claims of one worker in PostgreSQL."""

    def __init__(self, database: Database, worker_id: str) -> None:
        self._database = database
        self._deployment = database.deployment
        self._worker_id = worker_id
        self._claiming = ClaimTransactions(database)
        control = database.control
        self._lock_table_state = control.sql(LOCK_TABLE_STATE)
        self._claim = control.sql(CLAIM)
        self._owner = control.sql(OWNER)
        self._looked = control.sql(LOOKED)
        self._finish = control.sql(FINISH)
        self._leave = control.sql(LEAVE)
        self._switched = control.sql(SWITCHED)

    async def claim(
        self, source: str, stream_arn: str, shard_id: str, *, mapping_fingerprint: str
    ) -> Claim:
        """Fence off every other worker and learn the shard's true position.

        Waits for a transaction in flight, so that the answer is what it committed; one that does
        not end within two seconds is ended, if the session is the recorded owner's.
        NotClaimable when the parent is unfinished, the shard is done, the table is stopped, or
        another mapping writes the table now; PositionLost when the row is gone.
        """

        async def claim(connection: Session) -> Claim:
            return await self._claim_within(
                connection, source, stream_arn, shard_id, mapping_fingerprint
            )

        async def owner(connection: Session) -> str | None:
            known = await connection.fetchrow(self._owner, self._deployment, stream_arn, shard_id)
            return None if known is None else known["owner"]

        return await self._claiming.patiently(claim, owner)

    async def _claim_within(
        self,
        connection: Session,
        source: str,
        stream_arn: str,
        shard_id: str,
        fingerprint: str,
    ) -> Claim:
        table = await connection.fetchrow(
            self._lock_table_state, self._deployment, source, stream_arn
        )
        if table is None:
            message = f"table {source!r} is not registered in the control schema"
            raise PositionLost(message, remedy="run `replicator migrate`")
        if table["paused"] or table["halted"] or table["gapped"]:
            message = f"table {source!r} is stopped"
            raise NotClaimable(message)
        ordering = OrderingMode.of(table["mode"])
        if ordering.poller == "lambda":
            message = f"table {source!r} is written by AWS Lambda"
            raise NotClaimable(message, remedy="see docs/operations/lambda.md for moving it")
        if table["mapping_fingerprint"] != fingerprint:
            message = f"table {source!r} is written with another mapping than this worker's"
            raise NotClaimable(message, remedy="run `replicator plan`, then `replicator migrate`")
        row = await connection.fetchrow(
            self._claim, self._deployment, stream_arn, shard_id, self._worker_id
        )
        if row is None:
            raise await self._refusal(connection, source, stream_arn, shard_id)
        skip = table["start_at"] if table["initial_load"] == "none" else None
        return Claim(
            source=source,
            stream_arn=stream_arn,
            shard_id=shard_id,
            epoch=row["epoch"],
            claim_id=row["claim_id"],
            position=position_of(row["position"]),
            known=position_of(row["known"]),
            safe_at=row["safe_at"],
            found_at=row["found_at"],
            gap_accepted_at=row["gap_accepted_at"],
            owed=row["listed"] or row["position"] is not None,
            ordering=ordering,
            skip_before=skip,
            snapshot_id=table["snapshot_id"],
            open_letters=table["open_letters"],
            read_from=None if table["initial_load"] == "stream" else table["begun_at"],
            retention=table["retention"],
            load=ShardLoad(row["load"]),
        )

    async def _refusal(
        self, connection: Session, source: str, stream_arn: str, shard_id: str
    ) -> NotClaimable | PositionLost:
        known = await connection.fetchrow(self._owner, self._deployment, stream_arn, shard_id)
        if known is None:
            return PositionLost(
                f"the control schema has lost shard {shard_id}",
                remedy=f"run `replicator forget --table {source}` and `replicator migrate` "
                "to start again",
            )
        return NotClaimable(f"shard {shard_id} is {known['state']} or waits for its parent")

    async def looked(self, claim: Claim, *, at: datetime, head: bool) -> None:
        """Note an answer without records behind the claim's position, asked for at `at`.

        Fenced if the claim is over, or if the shard has another position than the claim.
        """
        load, position = claim.load.records_a_minute, position_text(claim.position)
        await self._guarded(self._looked, claim, at, head, position, load)

    async def finish(self, claim: Claim, *, position: Position | None) -> None:
        """The shard has ended and all of it is committed; Fenced if the claim is over."""
        await self._guarded(self._finish, claim, position_text(position))

    async def leave(self, claim: Claim) -> None:
        """Say that nobody works on the shard; no harm when the claim is over."""
        async with self._database.connection("leaving a shard") as connection:
            await connection.execute(self._leave, *self._held(claim))

    async def switched(self, claim: Claim) -> bool:
        """True when a change of the table's mode, mapping or state ended the claim, and nothing
        else.
        """
        async with self._database.connection("looking why a claim is over") as connection:
            found = await connection.fetchval(self._switched, *self._held(claim))
        return found is True

    async def _guarded(self, text: str, claim: Claim, *values: object) -> None:
        async with self._database.connection("noting a position", steady=True) as connection:
            row = await connection.fetchrow(text, *self._held(claim), *values)
        if row is None:
            message = f"shard {claim.shard_id} was claimed by another worker, or has moved"
            raise Fenced(message)

    def _held(self, claim: Claim) -> tuple[object, ...]:
        """A shard and the claim, as parameters of the statements."""
        shard = (self._deployment, claim.stream_arn, claim.shard_id)
        return (*shard, claim.epoch, claim.claim_id)
