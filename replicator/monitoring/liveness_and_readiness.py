"""Judges liveness and readiness of the process and of one table, for a given now. Pure."""

from dataclasses import dataclass
from typing import Literal, get_args

from replicator.core.status.deployment_problems import Diagnosis
from replicator.core.status.deployment_status import Status, TableStatus
from replicator.core.telemetry_events import TaskStuck, TelemetryEvent

Requirement = Literal["configuration", "target", "coordination"]
CONDITIONS: tuple[Requirement, ...] = get_args(Requirement)
NOT_KNOWN_YET = "not known yet"
"""Reason of a condition that nothing has told of."""
_LOOP = "loop"


@dataclass(frozen=True, slots=True)
class Check:
    """One check; `reason` None: all is well."""

    name: str
    reason: str | None

    @property
    def ok(self) -> bool:
        """True when the check finds nothing wrong."""
        return self.reason is None


@dataclass(slots=True)
class _Watched:
    last_progress: float
    limit_seconds: float


class Health:
    """State of the process; times are monotonic seconds.

    Liveness asks one thing: would a restart of the process help? So a task that fails and is tried
    again is alive, however often; one that makes no progress for its limit, or cannot be ended, is
    not. PostgreSQL and AWS belong to readiness.
    """

    def __init__(self, now: float, *, loop_seconds_max: float = 30.0) -> None:
        self._watched = {_LOOP: _Watched(now, loop_seconds_max)}
        self._unrecoverable: dict[str, str] = {}
        self._conditions: dict[Requirement, str | None] = dict.fromkeys(CONDITIONS, NOT_KNOWN_YET)

    def beat(self, now: float) -> None:
        """The worker's loop has turned."""
        self._watched[_LOOP].last_progress = now

    def watch(self, task: str, *, limit_seconds: float, now: float) -> None:
        """Expect progress of the task at least every `limit_seconds` from now on.

        The limit must be longer than the one at which the supervisor restarts the task.
        """
        self._watched[task] = _Watched(now, limit_seconds)

    def progress(self, task: str, now: float) -> None:
        """Note that the task did something, or was started again; ignored for tasks without a
        watch."""
        watched = self._watched.get(task)
        if watched is not None:
            watched.last_progress = now

    def forget(self, task: str) -> None:
        """The task has ended, or works again."""
        self._watched.pop(task, None)
        self._unrecoverable.pop(task, None)

    def unrecoverable(self, task: str, reason: str) -> None:
        """Only a restart of the process helps, unless the task is forgotten."""
        self._unrecoverable[task] = reason

    def observe(self, event: TelemetryEvent) -> None:
        """A task that hangs and cannot be ended is unrecoverable; nothing else concerns health."""
        match event:
            case TaskStuck(task=task, silent_seconds=silent, cancelled=False):
                self.unrecoverable(task, f"no progress for {silent:.0f} s, and cannot be ended")
            case _:
                pass

    def set_ready(self, name: Requirement, ok: bool, why: str | None = None) -> None:
        """One condition of readiness; `why` says for a person what is missing, without secrets."""
        self._conditions[name] = None if ok else why or "not ready"

    def liveness(self, now: float) -> tuple[Check, ...]:
        """The loop, and every task that hangs."""
        checks = [
            Check(task, _silence(now - watched.last_progress, watched.limit_seconds))
            for task, watched in self._watched.items()
            if task not in self._unrecoverable
        ]
        checks += [Check(task, reason) for task, reason in self._unrecoverable.items()]
        return tuple(check for check in checks if check.name == _LOOP or not check.ok)

    def readiness(self) -> tuple[Check, ...]:
        """All conditions of the process; no table is among the conditions."""
        return tuple(Check(name, reason) for name, reason in self._conditions.items())


def table_readiness(table: TableStatus, diagnosis: Diagnosis) -> tuple[Check, ...]:
    """True when an application may rely on the table: well, and inside retention."""
    verdict, broken = diagnosis.verdicts[table.source], diagnosis.broken.get(table.source)
    reason = None if broken is None else f"{broken.kind}: {broken.what}"
    return (
        Check("running", reason if verdict == "stopped" else None),
        Check("retention", _outside_retention(table)),
        Check("caught_up", reason if verdict in ("behind", "unknown") else None),
    )


def find_table(status: Status, source: str) -> TableStatus | None:
    """The table of that name, if the deployment has it."""
    return next((table for table in status.tables if table.source == source), None)


def _silence(silent_seconds: float, limit_seconds: float) -> str | None:
    if silent_seconds <= limit_seconds:
        return None
    return f"no progress for {silent_seconds:.0f} s, limit {limit_seconds:.0f} s"


def _outside_retention(table: TableStatus) -> str | None:
    headroom = table.retention_headroom_seconds
    if headroom is None or headroom > 0:
        return None
    return "the oldest unread record may have left the stream"
