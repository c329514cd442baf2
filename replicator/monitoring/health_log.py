"""Draws the diagnosis in the log: a line when a table stops being well, one when all is well."""

from dataclasses import dataclass

from replicator.clock import Clock
from replicator.core.status.deployment_problems import diagnose
from replicator.core.status.deployment_status import Status
from replicator.core.status.table_verdict import Problem
from replicator.monitoring.log_output import logger

SAID_AFTER_SECONDS = 5.0
"""A problem that ends sooner, as those of a starting process do, gets no line in the log."""


@dataclass(slots=True)
class _OpenProblem:
    since: float
    problem: Problem | None = None
    """The problem as it was logged; None while none was."""


class VerdictLog:
    """Remembers the last verdict of each table, so that each change of a verdict is one line."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._log = logger()
        self._troubles: dict[str, _OpenProblem] = {}

    def tell(self, status: Status) -> None:
        """Say which tables are not well any more, and which are well again.

        Whatever one problem holds up is one line. What is meant to be, such as a load or a pause,
        says nothing.
        """
        now, diagnosis = self._clock.monotonic(), diagnose(status)
        newly: dict[Problem, list[str]] = {}
        for table in diagnosis.verdicts:
            problem = diagnosis.broken.get(table)
            if problem is None:
                self._over(table, now)
            elif problem.severity != "note":
                trouble = self._troubles.setdefault(table, _OpenProblem(now))
                if trouble.problem is None and now - trouble.since >= SAID_AFTER_SECONDS:
                    trouble.problem = problem
                    newly.setdefault(problem, []).append(table)
            elif table in self._troubles and self._troubles[table].problem is None:
                del self._troubles[table]
        for problem, tables in newly.items():
            named = {"table": tables[0]} if len(tables) == 1 else {"tables": tables}
            self._log.warning(
                "not well",
                **named,
                verdict=diagnosis.verdicts[tables[0]],
                problem=problem.kind,
                what=problem.what,
                remedy=problem.remedy,
            )

    def _over(self, table: str, now: float) -> None:
        trouble = self._troubles.pop(table, None)
        if trouble is None or trouble.problem is None:
            return
        after = round(now - trouble.since, 1)
        said = {"table": table, "from": trouble.problem.kind, "after_seconds": after}
        self._log.info("recovered", **said)
