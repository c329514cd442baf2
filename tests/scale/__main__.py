"""`make simulate`: a fleet in virtual time, what it does and what its coordination costs."""

import argparse
import asyncio
import gc
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from time import process_time

from replicator.core.leases.fair_shares import IDLE, UPSET, Fairness
from replicator.core.leases.lease_plan import observed, plan_leases
from tests.scale.fleet import EVEN, LEASE_SECONDS, Fleet
from tests.scale.servers import DESCRIBES_A_SECOND, SLOW, Bill
from tests.support.virtual_time import virtual_loop

WAIT_SECONDS_MAX = 900.0
LEARNT_SECONDS = 600.0
"""Twice the time of the average of loads."""
SETTLED_SECONDS = 120.0
"""For shares to follow loads that are on record."""
DEPLOYED_AT_ONCE = 10
"""Workers in so many parts are replaced one part after the other."""
ROLL_OVER_SECONDS = 4 * 3600.0
"""As DynamoDB ends each shard, and begins another."""
RECORDS_A_MINUTE = 6_000.0
"""Of each shard, on the average: a hundred in a second, a tenth of what a shard takes at most."""
LOOK_SECONDS = 5.0
TAKEN_OVER_SECONDS = LEASE_SECONDS + 2 * LOOK_SECONDS + 10


@dataclass(slots=True)
class Result:
    """What a fleet did. Times in seconds of virtual time."""

    owned_seconds: float
    balanced_seconds: float
    starting: Bill
    """Of the start, until all shards were read."""
    steady: Bill
    steady_seconds: float
    hours: float
    """Of roll-overs that the rest has behind it."""
    listed: int
    """Shards that a listing showed at the end of the rest."""
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
    described_max: int
    """DescribeStream within one second, at most, after the start."""
    real_seconds: float

    def lines(self) -> list[str]:
        """The report."""
        steady, seconds = self.steady, self.steady_seconds
        return [
            *self._bounded(),
            *self._unbounded(),
            f"of the rest {seconds:.0f} s were simulated, beside what {self.hours:.0f} h of"
            f" roll-overs leave: {self.listed} shards are listed. Bill and calls are multiplied:",
            f"    {'':26} {'a second':>10} {'at most':>8} {f'in {self.hours or 1:.0f} h':>12}",
            *(
                f"    {name:26} {count / seconds:10.2f} {steady.peaks[name]:8d}"
                f" {count / seconds * 3600 * (self.hours or 1):12,.0f}"
                for name, count in steady.calls.most_common()
            ),
            "calls until all shards were read, in the second with the most:",
            *(f"    {name:26} {most:8d}" for name, most in self.starting.peaks.most_common()),
            f"took {self.real_seconds:.0f} s of CPU",
            *(f"failed {count} times: {what}" for what, count in self.failures.items()),
        ]

    def _bounded(self) -> Iterable[str]:
        bounds = (
            ("all shards read after the start, s", self.owned_seconds, 60),
            ("one more worker has its share after, s", self.join_seconds, 60),
            ("    moves a shard of the share", self.join_moves_per_share, 1.2),
            ("a third killed: all read again after, s", self.take_over_seconds, TAKEN_OVER_SECONDS),
            ("some cut off from DynamoDB: all read after, s", self.cut_off_seconds, 40),
            ("rolling deploy: moves a shard", self.deploy_moves, 1.1),
            ("    longest unread, s", self.deploy_unread_seconds, 10),
            ("    SIGTERM of one worker, at most, s", self.stop_seconds, 10),
            ("most loaded once loads are known, in means", self.load_learnt, EVEN),
            ("    at the end of the rest", self.load_at_rest, EVEN),
            ("a shard that begins is unread for, s", self.rest_unread_seconds, 10),
            (
                "DescribeStream within a second, at the start",
                self.starting.described_max,
                DESCRIBES_A_SECOND,
            ),
            ("    from then on", self.described_max, 5),
            ("lease table, USD a month", self.steady.usd_a_month(self.steady_seconds), 300),
            ("one plan of leases, s of CPU", self.plan_seconds, 0.3),
        )
        for what, value, bound in bounds:
            verdict = "" if value <= bound else "   MISSED"
            yield f"{what:46} {value:8.3f}   bound {bound:g}{verdict}"

    def _unbounded(self) -> Iterable[str]:
        yield f"{'balanced within a tenth after, s':46} {self.balanced_seconds:8.1f}"
        yield f"{'a third killed: most loaded, in means':46} {self.most_after_take_over:8.2f}"
        yield f"{'one slow worker: moves a shard':46} {self.slow_moves:8.3f}"
        yield f"{'moves a shard in the rest':46} {self.rest_moves:8.3f}"
        yield f"{'two workers read one shard, times':46} {self.overlaps:8d}"


def tell(began: float, what: str) -> None:
    """Say how far it is, beside the report, which comes late for a large fleet."""
    sys.stderr.write(f"{process_time() - began:5.0f} s of CPU: {what}\n")
    sys.stderr.flush()


async def simulate(
    shards: int,
    workers: int,
    *,
    steady_seconds: float,
    tables: int = 1,
    hours: float = 0.0,
    known_loads: bool = False,
) -> Result:
    """Start, rest with shards that end and begin, one more worker, some cut off, one slow, a third
    killed, a rolling deploy.

    `hours`: of roll-overs that are laid out before the rest; `known_loads`: the averages of the
    loads are laid out too, instead of being learnt for ten minutes.
    """
    began = process_time()
    fleet = Fleet(shards, tables=tables)
    moving = asyncio.create_task(fleet.move_positions())
    measuring = asyncio.create_task(fleet.measure_loads())
    for _ in range(workers):
        fleet.start()
        await asyncio.sleep(fleet.random.uniform(0.0, 0.2) * min(1.0, 10 / workers))
    owned = await fleet.seconds_until(lambda: fleet.all_read, at_most=WAIT_SECONDS_MAX)
    starting, fleet.servers.bill = fleet.servers.bill, Bill()
    balanced = await fleet.seconds_until(lambda: fleet.balanced, at_most=WAIT_SECONDS_MAX)
    tell(began, f"all read after {owned:.1f} s, balanced {balanced:.1f} s later")
    fleet.busy(RECORDS_A_MINUTE * shards)
    fleet.age(hours, every_seconds=ROLL_OVER_SECONDS)
    if known_loads:
        fleet.know_loads()
    await asyncio.sleep(SETTLED_SECONDS if known_loads else LEARNT_SECONDS)
    learnt = fleet.unevenness
    tell(began, f"loads are known, the most loaded has {learnt:.2f} means")
    described_max = fleet.servers.bill.described_max
    moves, fleet.reading.unread_seconds_max = fleet.reading.moves, 0.0
    rolling = asyncio.create_task(fleet.roll_over(every_seconds=ROLL_OVER_SECONDS))
    fleet.servers.bill = steady = Bill()
    begun = fleet.begun
    await asyncio.sleep(steady_seconds)
    fleet.servers.bill = after = Bill()
    followed = fleet.begun - begun
    rest_moves = (fleet.reading.moves - moves - followed) / shards
    at_rest, rest_unread = fleet.unevenness, fleet.reading.unread_seconds_max
    listed = sum(len(stream.shards) for stream in fleet.servers.streams.values())
    tell(
        began,
        f"rested, the most loaded has {at_rest:.2f} means; {listed} shards are listed, by"
        f" {steady.calls['streams DescribeStream'] / steady_seconds:.1f} calls a second, and the"
        f" lease table costs {steady.usd_a_month(steady_seconds):.0f} USD a month",
    )
    join, moved = await joined(fleet)
    tell(began, f"one more has its share after {join:.1f} s, {moved} moves")
    plan_seconds = planned(fleet)
    cut, slow_moves = await disturbed(fleet, max(1, workers // 10))
    tell(
        began,
        f"some were cut off: all read after {cut:.1f} s; one was slow: {slow_moves} moves; two"
        f" read one shard {fleet.reading.overlaps} times",
    )
    for name in list(fleet.processes)[: workers // 3]:
        fleet.kill(name)
    await asyncio.sleep(1)
    take_over = await fleet.seconds_until(lambda: fleet.all_read, at_most=WAIT_SECONDS_MAX)
    most = fleet.unevenness
    await fleet.seconds_until(lambda: fleet.even, at_most=WAIT_SECONDS_MAX)
    tell(began, f"a third was killed: all read after {take_over + 1:.1f} s, {most:.2f} means")
    deployed, stopped = await deployed_anew(fleet)
    result = Result(
        owned,
        owned + balanced,
        starting,
        steady,
        steady_seconds,
        hours,
        listed,
        join,
        moved * workers / shards,
        take_over + 1,
        most,
        deployed / shards,
        fleet.reading.unread_seconds_max,
        stopped,
        plan_seconds,
        dict(fleet.failures),
        learnt,
        at_rest,
        rest_moves,
        rest_unread,
        cut,
        slow_moves / shards,
        fleet.reading.overlaps,
        max(described_max, steady.described_max, after.described_max),
        process_time() - began,
    )
    for task in (moving, measuring, rolling):
        task.cancel()
    await fleet.end()
    return result


async def joined(fleet: Fleet) -> tuple[float, int]:
    """One more worker: the seconds until it has its share, which is less than the mean where shards
    are more than a share each, and what moved until a minute later but for what began."""
    begun, before = fleet.begun, fleet.reading.moves
    newest = fleet.start()
    weights = [IDLE + fleet.loads[shard_id] for shard_id in fleet.open]
    fair = (1 - UPSET) * Fairness.of(weights, len(fleet.processes)).share
    seconds = await fleet.seconds_until(
        lambda: fleet.weights_of_workers()[newest] >= fair, at_most=WAIT_SECONDS_MAX
    )
    await asyncio.sleep(60)
    return seconds, fleet.reading.moves - before - fleet.begun + begun


async def deployed_anew(fleet: Fleet) -> tuple[int, float]:
    """A new worker for each, a tenth of them after the other: what moved, and the longest that one
    took to stop."""
    begun, before, fleet.reading.unread_seconds_max = fleet.begun, fleet.reading.moves, 0.0
    stops, names = list[float](), list(fleet.processes)
    part = max(1, len(names) // DEPLOYED_AT_ONCE)
    for first in range(0, len(names), part):
        for _ in names[first : first + part]:
            fleet.start()
        await asyncio.sleep(5)
        for name in names[first : first + part]:
            stops.append(await fleet.stop(name))
    await fleet.seconds_until(lambda: fleet.all_read, at_most=WAIT_SECONDS_MAX)
    return fleet.reading.moves - before - fleet.begun + begun, max(stops)


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
        plan_seconds=LOOK_SECONDS,
        loads={key: fleet.loads.get(key.rpartition(":")[2], 0.0) for key in fleet.leases.rows},
    )
    return process_time() - began


def run(
    shards: int,
    workers: int,
    *,
    steady_seconds: float,
    tables: int = 1,
    hours: float = 0.0,
    known_loads: bool = False,
) -> Result:
    """Simulate on a virtual loop of its own."""
    with virtual_loop() as loop:
        simulation = simulate(
            shards,
            workers,
            steady_seconds=steady_seconds,
            tables=tables,
            hours=hours,
            known_loads=known_loads,
        )
        return loop.run_until_complete(simulation)


def main() -> None:
    """Parse, simulate, print."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--shards", type=int, help="open shards of all tables (1000)")
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--tables", type=int, default=1, help="that share the shards")
    parser.add_argument("--minutes", type=float, default=5.0, help="of rest that are simulated")
    parser.add_argument(
        "--hours",
        type=float,
        default=0.0,
        help="of roll-overs whose closed shards lie behind the rest, and which calls are told for",
    )
    parser.add_argument(
        "--known-loads", action="store_true", help="of shards: they are not learnt for ten minutes"
    )
    asked = parser.parse_args()
    shards = asked.shards or max(1_000 if asked.tables == 1 else 0, asked.tables)
    gc.set_threshold(200_000, 20, 100)  # a hundred workers in one process: most of it lives on
    result = run(
        shards,
        asked.workers,
        steady_seconds=60 * asked.minutes,
        tables=asked.tables,
        hours=asked.hours,
        known_loads=asked.known_loads,
    )
    print("\n".join(result.lines()))  # noqa: T201 (a report)


if __name__ == "__main__":
    main()
