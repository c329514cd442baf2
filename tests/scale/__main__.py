"""`make simulate`: a fleet in virtual time, what it does and what its coordination costs."""

import argparse
import asyncio
from dataclasses import dataclass
from time import process_time

from replicator.core.stream.balance import UPSET
from replicator.core.stream.lease_plan import observed, plan_leases
from tests.scale.fleet import LEASE_SECONDS, Fleet
from tests.scale.servers import SLOW, Bill
from tests.support.virtual_time import virtual_loop

WAIT_SECONDS_MAX = 900.0
LEARNT_SECONDS = 600.0
"""Twice the time of the average of loads."""
ROLL_OVER_SECONDS = 4 * 3600.0
"""As DynamoDB ends each shard, and begins another."""
RECORDS_A_MINUTE = 6_000.0
"""Of each shard, on the average: a hundred in a second, a tenth of what a shard takes at most."""


@dataclass(slots=True)
class Result:
    """What a fleet did. Times in seconds of virtual time."""

    owned_seconds: float
    balanced_seconds: float
    steady: Bill
    steady_seconds: float
    join_seconds: float
    join_moves_per_share: float
    take_over_seconds: float
    most_after_take_over: float
    """Load of the most loaded worker then, in means or in what one shard alone has."""
    deploy_moves: float
    deploy_unread_seconds: float
    stop_seconds: float
    plan_seconds: float
    failures: dict[str, int]
    load_learnt: float
    """Load of the most loaded worker, in means or in what one shard alone has."""
    load_at_rest: float
    rest_moves: float
    """Moves a shard while nothing happens but that shards end and begin."""
    rest_unread_seconds: float
    """The longest that nobody read a shard that had begun."""
    cut_off_seconds: float
    slow_moves: float
    overlaps: int
    real_seconds: float

    def lines(self) -> list[str]:
        """The report."""
        steady, seconds = self.steady, self.steady_seconds
        described = steady.described.values()
        calls = "\n".join(
            f"    {name:24} {count / seconds:10.2f} a second"
            for name, count in steady.calls.most_common()
        )
        return [
            f"all shards read after the start     {self.owned_seconds:8.1f} s",
            f"balanced within a tenth             {self.balanced_seconds:8.1f} s",
            f"one more worker has its share after {self.join_seconds:8.1f} s"
            f" with {self.join_moves_per_share:.2f} moves a shard of the share",
            f"a third killed: all read after      {self.take_over_seconds:8.1f} s"
            f", the most loaded has {self.most_after_take_over:.2f} means",
            f"rolling deploy: moves a shard       {self.deploy_moves:8.2f}"
            f", longest unread {self.deploy_unread_seconds:.1f} s",
            f"some cut off from DynamoDB: all read {self.cut_off_seconds:7.1f} s",
            f"one slow worker: moves a shard      {self.slow_moves:8.3f}",
            f"most load, in means or the heaviest {self.load_learnt:8.2f}"
            f" after ten minutes, {self.load_at_rest:.2f} at the end of the rest",
            f"moves a shard in {seconds / 3600:6.2f} h of rest    {self.rest_moves:8.3f}"
            f", a new shard unread for {self.rest_unread_seconds:.1f} s at most",
            f"two workers read one shard          {self.overlaps:8d} times",
            f"SIGTERM of one worker, at most      {self.stop_seconds:8.1f} s",
            f"one plan of leases costs            {self.plan_seconds:8.3f} s of CPU",
            f"DescribeStream, at most in a second {max(described, default=0):8d}",
            f"lease table                         {steady.usd_a_month(seconds):8.0f} USD a month",
            f"calls in {seconds:.0f} s of rest, all workers:",
            calls,
            f"took {self.real_seconds:.0f} s of CPU",
            *(f"failed {count} times: {what}" for what, count in self.failures.items()),
        ]


async def simulate(shards: int, workers: int, *, steady_seconds: float) -> Result:
    """Start, rest with shards that end and begin, one more worker, some cut off, one slow, a third
    killed, a rolling deploy."""
    began = process_time()
    fleet = Fleet(shards)
    moving = asyncio.create_task(fleet.move_positions())
    measuring = asyncio.create_task(fleet.measure_loads())
    for _ in range(workers):
        fleet.start()
        await asyncio.sleep(fleet.random.uniform(0.0, 0.2))
    share = shards / workers
    owned = await fleet.seconds_until(lambda: fleet.all_read, at_most=WAIT_SECONDS_MAX)
    balanced = await fleet.seconds_until(lambda: fleet.balanced, at_most=WAIT_SECONDS_MAX)
    fleet.busy(RECORDS_A_MINUTE * shards)
    await asyncio.sleep(LEARNT_SECONDS)
    learnt = fleet.unevenness
    moves, fleet.reading.unread_seconds_max = fleet.reading.moves, 0.0
    rolling = asyncio.create_task(fleet.roll_over(every_seconds=ROLL_OVER_SECONDS))
    fleet.servers.bill = steady = Bill()
    begun = len(fleet.servers.open)
    await asyncio.sleep(steady_seconds)
    fleet.servers.bill = Bill()
    followed = len(fleet.servers.open) - begun
    rest_moves = (fleet.reading.moves - moves - followed) / shards
    at_rest, rest_unread = fleet.unevenness, fleet.reading.unread_seconds_max
    before = fleet.reading.moves
    newest = fleet.start()
    fair = (1 - UPSET) * sum(fleet.weights_of_workers().values()) / (workers + 1)
    join = await fleet.seconds_until(
        lambda: fleet.weights_of_workers()[newest] >= fair, at_most=WAIT_SECONDS_MAX
    )
    await asyncio.sleep(60)
    join_moves = (fleet.reading.moves - before) / share
    plan_seconds = planned(fleet)
    cut, slow_moves = await disturbed(fleet, max(1, workers // 10))
    for name in list(fleet.processes)[: workers // 3]:
        fleet.kill(name)
    await asyncio.sleep(1)
    take_over = await fleet.seconds_until(lambda: fleet.all_read, at_most=WAIT_SECONDS_MAX)
    most = fleet.unevenness
    await fleet.seconds_until(lambda: fleet.even, at_most=WAIT_SECONDS_MAX)
    begun = len(fleet.servers.open)
    before, fleet.reading.unread_seconds_max = fleet.reading.moves, 0.0
    stops = []
    for name in list(fleet.processes):
        fleet.start()
        await asyncio.sleep(5)
        stops.append(await fleet.stop(name))
    await fleet.seconds_until(lambda: fleet.all_read, at_most=WAIT_SECONDS_MAX)
    result = Result(
        owned,
        owned + balanced,
        steady,
        steady_seconds,
        join,
        join_moves,
        take_over + 1,
        most,
        (fleet.reading.moves - before - len(fleet.servers.open) + begun) / shards,
        fleet.reading.unread_seconds_max,
        max(stops),
        plan_seconds,
        dict(fleet.failures),
        learnt,
        at_rest,
        rest_moves,
        rest_unread,
        cut,
        slow_moves / shards,
        fleet.reading.overlaps,
        process_time() - began,
    )
    for task in (moving, measuring, rolling):
        task.cancel()
    await fleet.end()
    return result


async def disturbed(fleet: Fleet, cut_off: int) -> tuple[float, int]:
    """Cut so many workers off from DynamoDB, then make one slow: the seconds until all shards were
    read again, and what moved for the slow one.
    """
    processes = list(fleet.processes.values())[:cut_off]
    for process in processes:
        process.cut_off.add("leases")
    await asyncio.sleep(LEASE_SECONDS + 1)
    seconds = await fleet.seconds_until(lambda: fleet.all_read, at_most=WAIT_SECONDS_MAX)
    for process in processes:
        process.cut_off.clear()
    await asyncio.sleep(120)
    before = fleet.reading.moves
    processes[0].cut_off.add(SLOW)
    await asyncio.sleep(120)
    processes[0].cut_off.clear()
    return LEASE_SECONDS + 1 + seconds, fleet.reading.moves - before


def planned(fleet: Fleet) -> float:
    """Seconds of CPU that one plan of one worker takes."""
    rows = list(fleet.leases.rows.values())
    name, process = next(iter(fleet.processes.items()))
    sightings = observed({}, rows, now=0.0)
    began = process_time()
    plan_leases(
        rows,
        sightings,
        wanted={row.key for row in rows},
        held=process.worker.holding.held.keys(),
        worker_id=name,
        workers=frozenset(fleet.processes),
        now=1.0,
        lease_seconds=LEASE_SECONDS,
        plan_seconds=5.0,
        loads={key: fleet.loads.get(key.rpartition(":")[2], 0.0) for key in fleet.leases.rows},
    )
    return process_time() - began


def run(shards: int, workers: int, *, steady_seconds: float) -> Result:
    """Simulate on a virtual loop of its own."""
    with virtual_loop() as loop:
        return loop.run_until_complete(simulate(shards, workers, steady_seconds=steady_seconds))


def main() -> None:
    """Parse, simulate, print."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--shards", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=5.0, help="of rest, for what it costs")
    parser.add_argument("--hours", type=float, default=0.0, help="of rest, added to the minutes")
    asked = parser.parse_args()
    seconds = 60 * asked.minutes + 3600 * asked.hours
    result = run(asked.shards, asked.workers, steady_seconds=seconds)
    print("\n".join(result.lines()))  # noqa: T201 (a report)


if __name__ == "__main__":
    main()
