"""Keeps what the last comparison of each table found."""

from collections.abc import Sequence
from datetime import datetime

from replicator.core.verify.results import TargetResult, Verified
from replicator.postgres.connection.database import Database, Session

FORGET = """
delete from {schema}.verification where deployment = $1 and source = $2
"""

KEEP = """
insert into {schema}.verification
       (deployment, source, target, started_at, sample, compared, missing, extra, different,
        in_flight, rejected, read_units)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""

LAST = """
-- a table as a whole: its targets were compared together
select source, min(finished_at) as at, sum(missing + extra + different)::bigint as unequal,
       sum(in_flight)::bigint as in_flight, min(sample) as sample
  from {schema}.verification
 where deployment = $1
 group by source
"""


async def keep_results(
    database: Database,
    source: str,
    results: Sequence[TargetResult],
    *,
    started_at: datetime,
    sample: float | None,
    read_units: float,
) -> None:
    """Put the results in the place of the table's older ones."""
    control = database.control
    async with database.transaction("keeping the result") as connection:
        await connection.execute(control.sql(FORGET), database.deployment, source)
        await connection.executemany(
            control.sql(KEEP),
            [
                (
                    *(database.deployment, source, result.target, started_at, sample),
                    *(result.compared, result.missing, result.extra, result.different),
                    *(result.in_flight, result.rejected, read_units),
                )
                for result in results
            ],
        )


async def last_verified(database: Database, connection: Session) -> dict[str, Verified]:
    """Result of the last comparison of every table, by source."""
    text = database.control.sql(LAST)
    rows = await connection.fetch(text, database.deployment)
    return {
        row["source"]: Verified(row["at"], row["unequal"], row["in_flight"], row["sample"])
        for row in rows
    }
