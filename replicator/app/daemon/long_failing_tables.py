"""Tables that have failed for long, for which `run --until-caught-up` waits no more."""

from replicator.clock import Clock
from replicator.core.telemetry_events import (
    BatchApplied,
    ReadFailed,
    ReadRecovered,
    ShardEnded,
    TaskFailed,
    TaskRecovered,
    TelemetryEvent,
)


class LongFailingTables:
    """Remembers since when each shard and task of each table fails, from what is observed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[tuple[str, str], float] = {}

    def observe(self, event: TelemetryEvent) -> None:
        """Take note of a failure, or that something goes on again."""
        match event:
            case TaskFailed(table=str() as table, task=task):
                self._since.setdefault((table, task), self._clock.monotonic())
            case TaskRecovered(table=str() as table, task=task):
                self._since.pop((table, task), None)
            case ReadFailed(table=table, shard_id=shard_id):
                self._since.setdefault((table, f"read {shard_id}"), self._clock.monotonic())
            case ReadRecovered(table=table, shard_id=shard_id):
                self._since.pop((table, f"read {shard_id}"), None)
            case (
                BatchApplied(table=table, shard_id=shard_id)
                | ShardEnded(table=table, shard_id=shard_id)
            ):
                self._since.pop((table, f"shard {shard_id}"), None)
            case _:
                pass

    def longer_than(self, seconds: float) -> frozenset[str]:
        """The tables of which something has failed for so long."""
        now = self._clock.monotonic()
        return frozenset(
            table for (table, _), since in self._since.items() if now - since >= seconds
        )
