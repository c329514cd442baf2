"""Rate limit of DescribeStream for all workers of a deployment, who take turns in one row."""

from replicator.postgres.connection.database import Database

TAKEN_MAX = 10
"""As many turns are remembered as AWS allows in a second, and refuses more."""
WINDOW_SECONDS, WINDOW_SECONDS_BELOW = 1.0, 1.05
"""The second of as many calls as AWS allows; of fewer, which nobody else counts, a second and what
the ways of two calls may differ in."""

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

    async def take(self, calls_max: int, only_free: bool) -> float | None:
        """Take a turn, of at most so many in a second: the seconds until it comes.

        `only_free`: one that is free now; None where none is.
        """
        async with self._database.connection("taking a turn to list a stream") as connection:
            seconds: float | None = await connection.fetchval(
                self._database.control.sql(TAKE),
                self._database.deployment,
                calls_max,
                WINDOW_SECONDS if calls_max >= TAKEN_MAX else WINDOW_SECONDS_BELOW,
                TAKEN_MAX,
                only_free,
            )
        return None if seconds is None else max(0.0, seconds)
