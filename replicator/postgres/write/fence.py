"""Fences: the first part of a statement, which decides whether the rest may write anything.

Theory of operation
-------------------
The problem: a lease in DynamoDB says who should work on a shard, and stops nobody. A worker may
pause between any two lines, for minutes, while another worker takes the lease, applies newer
batches, and moves on. When the paused worker wakes, the next write must not touch a single row.

The idea: PostgreSQL decides who may write, in the transaction that writes. A worker first claims
the shard: `postgres/control/stream/shard_claims` raises `shard.epoch`, gives the claim a random id,
and returns both with the position up to which the shard is applied. Every batch then begins with a
compare-and-set on the shard's row: set the new position where the row still has the claim (epoch
and id) and the expected position.
The compare-and-set is a common table expression named `fence`, and every other part of the
statement reads from `fence`: if it returns no row, nothing is written, deleted, superseded or
appended, and the statement says `fenced = 0`.

The invariants:
  * Position, rows and dead letters commit together, or not at all.
  * A claim is never granted while an older claim's transaction may still commit: the claimer's
    update waits for the row lock, or ends the session that holds it
    (`postgres/connection/end_former_owner`).
  * The epoch is raised whenever mode, mapping or state of the table changes, so a worker that
    believes in an older mode cannot write under the new one.
  * A claim's id is never used twice, so that a claim that a failover has lost stays lost.
  * The lock on the shard's row is taken and released within one message, since a frozen process
    that holds it would block the next claim: rows travel as arrays in the same statement.
  * An answer that was lost is no problem: the connection is thrown away, the next claim returns
    the position that PostgreSQL really has.

Broken without it: rows written before the compare-and-set (a COPY outside the transaction, say)
stay although the batch was fenced; a compare-and-set on the position alone lets a worker of an
older mapping through, as the position has not moved. A compare-and-set without the claim's id lets
a lost claim through: a failover loses claim A of epoch 2, a snapshot raises 1 to 2, and A's removal
passes in mode `fence`, leaves no tombstone, and the page that was read before brings the row back.

`PASSED` is the fence of a second statement in a transaction whose first one has passed the fence.
"""

from dataclasses import dataclass

from replicator.postgres.connection.control_schema_names import ControlSchema


@dataclass(frozen=True, slots=True)
class Fence:
    """The first part of a statement, `fence`: it has a row exactly where the rest may write.

    `{schema}` stands for the control schema, `{unless}` for more that must be true. Of the
    parameters the first four are deployment, source, stream ARN and shard id, whatever the fence
    makes of them.
    """

    sql: str
    parameters: int

    def of(self, control: ControlSchema, *, unless: str | None = None) -> str:
        """Text of the fence for a control schema; it has no row where the part `unless` has one."""
        condition = "" if unless is None else f"\n       and not exists (select from {unless})"
        return control.sql(self.sql, unless=condition)


SHARD_FENCE = Fence(
    """
-- The compare-and-set comes first: every write below reads from it, so that a worker that was
-- superseded writes nothing. It takes the row lock and releases it in one message.
fence as (
    update {schema}.shard
       set last_sequence_number = $6::text::numeric,
           known_sequence_number = greatest(known_sequence_number, $7::text::numeric),
           last_record_at = coalesce($8::timestamptz, last_record_at),
           safe_at = greatest(safe_at, $8::timestamptz),
           polled_at = greatest(polled_at, $9::timestamptz),
           load = $12::float4
     where deployment = $1
       and stream_arn = $3
       and shard_id = $4
       and source = $2
       and epoch = $5
       and claim_id = $11::uuid
       and state = 'active'
       and last_sequence_number is not distinct from $10::text::numeric{unless}
 returning 1)""",
    parameters=12,
)

SEGMENT_FENCE = Fence(
    """
-- The compare-and-set of a segment of a snapshot: a page of a worker that was superseded, or of a
-- snapshot that is over, writes nothing.
fence as (
    update {schema}.segment
       set steps = steps + 1,
           position = coalesce($9, position),
           items = items + $10,
           rows = rows + $11,
           read_units = read_units + $12,
           state = case when $13 then 'done' else state end,
           owner = case when $13 then null else owner end,
           moved_at = now()
     where deployment = $1
       and source = $2
       and ($3::text, $4::text) is not null
       and snapshot_id = $5
       and number = $6
       and (epoch, claim_id) = ($7, $14::uuid)
       and steps = $8
       and state = 'active'{unless}
 returning 1)""",
    parameters=14,
)

PASSED = Fence(
    "fence as (select 1 where ($1::text, $2::text, $3::text, $4::text) is distinct from null"
    "{unless})",
    parameters=4,
)
"""Always has a row: for the second statement of a transaction whose first one passed the fence."""
