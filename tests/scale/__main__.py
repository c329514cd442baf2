"""`make simulate`: a fleet in virtual time, what it does and what its coordination costs."""

import argparse
import asyncio
from dataclasses import dataclass
from time import process_time

from replicator.core.stream.lease_plan import observed, plan_leases
from tests.scale.fleet import LEASE_SECONDS, Fleet
from tests.scale.servers import Bill
from tests.support.virtual_time import virtual_loop

WAIT_SECONDS_MAX = 900.0


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
    """Shards of the worker with the most, in shares."""
    deploy_moves: float
    deploy_unread_seconds: float
    stop_seconds: float
    plan_seconds: float
    failures: dict[str, int]

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
            f", the most loaded has {self.most_after_take_over:.2f} shares",
            f"rolling deploy: moves a shard       {self.deploy_moves:8.2f}"
            f", longest unread {self.deploy_unread_seconds:.1f} s",
            f"SIGTERM of one worker, at most      {self.stop_seconds:8.1f} s",
            f"one plan of leases costs            {self.plan_seconds:8.3f} s of CPU",
            f"DescribeStream, at most in a second {max(described, default=0):8d}",
            f"lease table                         {steady.usd_a_month(seconds):8.0f} USD a month",
            f"calls in {seconds:.0f} s of rest, all workers:",
            calls,
            *(f"failed {count} times: {what}" for what, count in self.failures.items()),
        ]


async def simulate(shards: int, workers: int, *, steady_seconds: float) -> Result:
    """Start, rest, one more worker, a third killed, a rolling deploy."""
    fleet = Fleet(shards)
    moving = asyncio.create_task(fleet.move_positions())
    for _ in range(workers):
        fleet.start()
        await asyncio.sleep(fleet.random.uniform(0.0, 0.2))
    share = shards / workers
    owned = await fleet.seconds_until(lambda: fleet.all_read, at_most=WAIT_SECONDS_MAX)
    balanced = await fleet.seconds_until(lambda: fleet.balanced, at_most=WAIT_SECONDS_MAX)
    await asyncio.sleep(60)
    fleet.servers.bill = steady = Bill()
    await asyncio.sleep(steady_seconds)
    fleet.servers.bill = Bill()
    before = fleet.reading.moves
    newest = fleet.start()
    fair = 0.9 * shards / (workers + 1)
    join = await fleet.seconds_until(
        lambda: fleet.counts()[newest] >= fair, at_most=WAIT_SECONDS_MAX
    )
    await asyncio.sleep(60)
    join_moves = (fleet.reading.moves - before) / share
    plan_seconds = planned(fleet)
    for name in list(fleet.processes)[: workers // 3]:
        fleet.kill(name)
    await asyncio.sleep(1)
    take_over = await fleet.seconds_until(lambda: fleet.all_read, at_most=WAIT_SECONDS_MAX)
    most = max(fleet.counts().values()) * len(fleet.processes) / shards
    await fleet.seconds_until(lambda: fleet.balanced, at_most=WAIT_SECONDS_MAX)
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
        (fleet.reading.moves - before) / shards,
        fleet.reading.unread_seconds_max,
        max(stops),
        plan_seconds,
        dict(fleet.failures),
    )
    moving.cancel()
    await fleet.end()
    return result


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
    asked = parser.parse_args()
    result = run(asked.shards, asked.workers, steady_seconds=60 * asked.minutes)
    print("\n".join(result.lines()))  # noqa: T201 (a report)


if __name__ == "__main__":
    main()
