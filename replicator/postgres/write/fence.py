"""Fences: what a transaction does first, and what decides whether it may write anything."""

from dataclasses import dataclass

from replicator.postgres.connection.quoting import quote_identifier


@dataclass(frozen=True, slots=True)
class Fence:
    """The first part of a statement, `fence`: it has a row exactly where the rest may write.

    `{schema}` stands for the control schema. Of its parameters the first four are deployment,
    source, stream ARN and shard id, whatever it makes of them.
    """

    sql: str
    parameters: int

    def of(self, control_schema: str) -> str:
        """Its text."""
        return self.sql.format(schema=quote_identifier(control_schema))


SHARD_FENCE = Fence(
    """
-- The compare-and-set comes first: every write below reads from it, so that a worker that was
-- superseded writes nothing. It takes the row lock and lets it go in one message.
fence as (
    update {schema}.shard
       set last_sequence_number = $6::text::numeric,
           known_sequence_number = greatest(known_sequence_number, $7::text::numeric),
           last_record_at = coalesce($8::timestamptz, last_record_at),
           safe_at = greatest(safe_at, $8::timestamptz),
           polled_at = greatest(polled_at, $9::timestamptz)
     where deployment = $1
       and stream_arn = $3
       and shard_id = $4
       and source = $2
       and epoch = $5
       and state = 'active'
       and last_sequence_number is not distinct from $10::text::numeric
 returning 1)""",
    parameters=10,
)

PASSED = Fence(
    "fence as (select 1 where ($1::text, $2::text, $3::text, $4::text) is distinct from null)",
    parameters=4,
)
"""For the second statement of a transaction whose first one passed its fence."""
