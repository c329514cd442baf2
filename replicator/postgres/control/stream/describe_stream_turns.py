"""Rate limit of DescribeStream for all workers of a deployment, who take turns in one row."""

from collections import deque
from collections.abc import Sequence

from replicator.core.stream.describe_stream_quota import OTHERS_SECONDS, TURNS_KEPT, Purpose
from replicator.postgres.connection.database import Database

EARLIEST = """
           (select greatest(
                       t.taken[cardinality(t.taken)] + interval '1 microsecond',
                       (select until
                          from (select taken + make_interval(secs => $3)
                                  from unnest(t.taken) as taken
                                 where taken <> all($6::timestamptz[])
                                 union all
                                select clock_timestamp() + make_interval(secs => seconds)
                                  from unnest($7::float8[]) as seconds) as counted (until)
                         order by until desc
                        offset $2 - 1
                         limit 1)))"""
"""Earliest time for another turn: after the last one, and so late that fewer than `$2` count."""

TAKE = f"""
-- The row's lock puts workers in order. Turns of the worker itself ($6) count as the worker says
-- ($7), those of others for a while ($3). No two are of the same time, so that each tells its own
-- apart. What lies far ahead was taken by a clock that is not the server's now.
insert into {{schema}}.describe_turn as t (deployment, taken)
values ($1, array[clock_timestamp()])
    on conflict (deployment)
    do update set taken =
           case when t.taken[cardinality(t.taken)] > clock_timestamp() + interval '1 minute'
                then array[clock_timestamp()]
                else t.taken[greatest(1, cardinality(t.taken) - $4 + 2):]
                     || greatest(clock_timestamp(), {EARLIEST})
           end
 where not $5
    or t.taken[cardinality(t.taken)] > clock_timestamp() + interval '1 minute'
    or {EARLIEST} <= clock_timestamp()
returning taken[cardinality(taken)] as at,
          extract(epoch from taken[cardinality(taken)] - clock_timestamp())::float8 as seconds
"""  # noqa: S608 (of constants)


class DescribeStreamTurns:
    """The turns that one worker takes among those of its deployment, by PostgreSQL's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._own: deque[object] = deque(maxlen=TURNS_KEPT)
        """Times of the last turns of this worker."""

    async def take(self, purpose: Purpose, own_seconds: Sequence[float] = ()) -> float | None:
        """Take a turn: the seconds until it comes. None where the purpose gives way to others, and
        no turn is free now. `own_seconds`: for how long each call of this worker counts still.
        """
        async with self._database.connection("taking a turn to list a stream") as connection:
            row = await connection.fetchrow(
                self._database.control.sql(TAKE),
                self._database.deployment,
                purpose.calls_max,
                OTHERS_SECONDS,
                TURNS_KEPT,
                purpose.gives_way,
                list(self._own),
                list(own_seconds),
            )
        if row is None:
            return None
        self._own.append(row["at"])
        return max(0.0, float(row["seconds"]))
