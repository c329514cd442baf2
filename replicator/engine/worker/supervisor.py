"""Runs tasks that must not die: classifies failures, waits, starts again, notices silence."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from replicator.clock import Clock
from replicator.core.telemetry_events import Observe, TaskFailed, TaskRecovered, TaskStuck
from replicator.engine.backoff import Backoff, stopped_within
from replicator.errors import Disposition, ReplicatorError

CANCEL_SECONDS_MAX = 10.0
HALT_ATTEMPTS_MAX = 8
"""Attempts to stop a table: a transaction of ours that a time limit cut off may still run in the
server, and hold the rows that the stop writes.
"""

Halt = Callable[[ReplicatorError], Awaitable[bool]]
"""Stops a table; False where the table has changed since the attempt began: the next one tells."""


@dataclass(frozen=True, slots=True)
class Reporting:
    """Receivers of news of a worker.

    `observe`: facts for metrics and logs. `beat`: a job has turned. `unrecoverable`: a task cannot
    be ended, with the reason.
    """

    observe: Observe
    beat: Callable[[str], None]
    unrecoverable: Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """A task of a worker. `table` None: for all tables."""

    name: str
    table: str | None
    run: Callable[[], Awaitable[bool | None]]
    """One turn, with the wait for the next; True ends the job, False starts it again. So does None:
    what failed before was not tried, and may fail again."""
    halting: Callable[[], Halt] | None = None
    """Made before each attempt: halts the table for a failure that no retry can fix. None: such a
    failure is retried."""
    cap_seconds: float = 10.0


async def supervise(
    job: Job,
    stopping: asyncio.Event,
    *,
    observe: Observe,
    clock: Clock,
    beat: Callable[[str], None],
) -> None:
    """Run a job until done, or asked to stop.

    Every failure is reported and answered by its kind: HALT stops the table, and like all others
    waits and starts again, since a person may resume the table at any time. `beat` hears of every
    attempt. No other place catches errors that are not foreseen.
    """
    backoff = Backoff(base=0.2, cap=job.cap_seconds)
    failing = False
    while not stopping.is_set():
        started = clock.monotonic()
        beat(job.name)
        halt = None if job.halting is None else job.halting()
        over: bool | None = None
        failure = None
        try:
            over = await job.run()
        except Exception as error:  # noqa: BLE001 (the supervisor)
            failure = error
        if over is not None and failing:
            failing = False
            observe(TaskRecovered(job.name, job.table))
        if over:
            return
        if clock.monotonic() - started > 2 * job.cap_seconds:
            backoff.succeeded()
        if failure is None:
            backoff.succeeded()
            continue
        failing, seconds = True, backoff.next_seconds()
        if not await _halted(job, halt, failure, stopping, observe=observe, beat=beat):
            observe(TaskFailed(job.name, job.table, failure, seconds))
        await stopped_within(stopping, seconds)


async def _halted(
    job: Job,
    halt: Halt | None,
    failure: Exception | None,
    stopping: asyncio.Event,
    *,
    observe: Observe,
    beat: Callable[[str], None],
) -> bool:
    """Stop the table for a failure that no retry can fix; False where the table goes on."""
    if halt is None or not isinstance(failure, ReplicatorError):
        return False
    if failure.disposition is not Disposition.HALT:
        return False
    backoff = Backoff(base=0.2, cap=job.cap_seconds)
    while True:
        try:
            return await halt(failure)
        except ReplicatorError as error:
            seconds = backoff.next_seconds()
            observe(TaskFailed(job.name, job.table, error, seconds))
            if backoff.attempts >= HALT_ATTEMPTS_MAX:  # the next attempt of the job tells
                return False
            if await stopped_within(stopping, seconds):
                return False
            beat(job.name)


async def end_silent_task(
    task: asyncio.Task[None],
    *,
    name: str,
    table: str | None,
    silent_seconds: float,
    observe: Observe,
) -> bool:
    """Cancel a task that makes no progress; False when even that does not end it."""
    task.cancel()
    await asyncio.wait([task], timeout=CANCEL_SECONDS_MAX)
    observe(TaskStuck(name, table, silent_seconds, cancelled=task.done()))
    return task.done()
