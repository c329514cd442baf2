"""Rate limit of DescribeStream for all workers of a deployment, who take turns in one row."""

from replicator.core.stream.describe_stream_limit import CALLS_A_SECOND, Purpose
from replicator.postgres.connection.database import Database

TAKE = """
-- The row's lock puts workers in order. A turn comes a window after the turn so many before it, and
-- never before the last one. What lies far ahead was taken by a clock that is not the server's now.
insert into {schema}.describe_turn as t (deployment, taken)
values ($1, array[clock_timestamp()])
    on conflict (deployment)
    do update set taken = (
        select case when t.taken[cardinality(t.taken)] > moment.now + interval '1 minute'
                    then array[moment.now]
                    else t.taken[greatest(1, cardinality(t.taken) - $4 + 2):]
                         || greatest(moment.now, t.taken[cardinality(t.taken)],
                                     t.taken[cardinality(t.taken) - $2 + 1]
                                     + make_interval(secs => $3))
               end
          from (select clock_timestamp() as now) as moment)
 where not $5
    or t.taken[cardinality(t.taken)] > clock_timestamp() + interval '1 minute'
    or (t.taken[cardinality(t.taken)] <= clock_timestamp()
        and coalesce(t.taken[cardinality(t.taken) - $2 + 1] + make_interval(secs => $3)
                     <= clock_timestamp(), true))
returning extract(epoch from taken[cardinality(taken)] - clock_timestamp())::float8
"""


class DescribeStreamTurns:
    """The turns of one deployment, by PostgreSQL's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, purpose: Purpose) -> float | None:
        """Take a turn: the seconds until it comes. None where the purpose gives way to others, and
        no turn is free now.
        """
        async with self._database.connection("taking a turn to list a stream") as connection:
            seconds: float | None = await connection.fetchval(
                self._database.control.sql(TAKE),
                self._database.deployment,
                purpose.calls_max,
                purpose.window_seconds,
                CALLS_A_SECOND,
                purpose.gives_way,
            )
        return None if seconds is None else max(0.0, seconds)
