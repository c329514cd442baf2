"""How long the shards of a worker that died waited for another: measured by PostgreSQL's clock."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median, quantiles

from tests.faults.replica import Replica

OWNED = """
select shard_id, epoch, clock_timestamp() as at
  from replicator.shard
 where owner = $1 and state = 'active'
"""
LOOKED = "select id from replicator.worker where id = any($1::text[])"
HEIRS = """
select shard, epoch, min(at) as at
  from watch.log
 where state = 'active'
 group by shard, epoch
"""


@dataclass(frozen=True, slots=True)
class Death:
    """A worker that was killed or frozen, with the shards that it owned at that moment."""

    at: datetime
    owned: dict[str, int]
    """Epochs by shard."""
    witnessed: bool
    """Another worker had looked at the leases before; without one the next must first start."""


async def death(it: Replica, victim: str, others: Sequence[str]) -> Death | None:
    """What a worker that has just died leaves; None where that is nothing."""
    owned = await it.sql(OWNED, victim)
    looked = await it.sql(LOOKED, list(others))
    if not owned:
        return None
    return Death(owned[0]["at"], {row["shard_id"]: row["epoch"] for row in owned}, bool(looked))


async def report(it: Replica, what: str, deaths: Sequence[Death]) -> None:
    """Printed for people; `pytest -s` or a failure shows it."""
    claims = {(row["shard"], row["epoch"]): row["at"] for row in await it.sql(HEIRS)}

    def seconds(one: Death) -> list[float]:
        heirs = [claims.get((shard, epoch + 1)) for shard, epoch in one.owned.items()]
        return [(at - one.at).total_seconds() for at in heirs if at is not None]

    for witnessed, when in ((True, "another worker lived"), (False, "the next had to start first")):
        found = [seconds(one) for one in deaths if one.witnessed is witnessed]
        waits = sorted(wait for each in found for wait in each)
        if len(waits) < 2:
            continue
        tenths = quantiles(waits, n=10)
        sys.stdout.write(
            f"{what}, {when}: {len(found)} times, {len(waits)} shards: "
            f"median {median(waits):.2f} s, nine in ten within {tenths[-1]:.2f} s, "
            f"longest {waits[-1]:.2f} s\n"
        )
