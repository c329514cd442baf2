"""Prints the calls of a small fleet that starts, loses a worker and gets another one.

A program of its own: the hash of a string is another in each process, and with it the order of a
set. `python -m tests.scale.short_life`
"""

import asyncio
import random
import sys

from tests.scale.fleet import Fleet
from tests.scale.servers import REFUSED_TAKES, Bill
from tests.support.virtual_time import in_virtual_time


class Told(Bill):
    """Prints what it counts."""

    def add(self, name: str, *, now: float, calls: int = 1) -> None:
        sys.stdout.write(f"{now:.6f} {name} {calls}\n")
        super().add(name, now=now, calls=calls)


@in_virtual_time
async def lives() -> None:
    random.seed(0)
    fleet = Fleet(60)
    fleet.servers.bill = Told()
    names = [fleet.start() for _ in range(3)]
    for process in fleet.processes.values():
        process.cut_off.add(REFUSED_TAKES)
    await fleet.seconds_until(lambda: fleet.all_read, at_most=600)
    fleet.kill(names[0])
    await asyncio.sleep(60)
    fleet.start()
    await asyncio.sleep(60)
    await fleet.stop(names[1])
    await asyncio.sleep(30)
    for lease in sorted(fleet.leases.rows.values(), key=lambda lease: lease.key):
        sys.stdout.write(f"{lease}\n")


if __name__ == "__main__":
    lives()
