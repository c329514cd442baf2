"""An event source mapping of AWS Lambda: lanes of a shard, retries, halving, kills, late copies."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import Any

from tests.support.lambda_runtime import Environment

Record = Mapping[str, Any]
ATTEMPTS_MAX = 60
KILLED_WITHIN_SECONDS = 0.05


@dataclass(slots=True)
class EventSourceMapping:
    """Delivers the records of one shard, as many batches at a time as there are environments.

    Records of one item are in one lane, and a lane is delivered in order; a batch that fails is
    delivered again from its lowest failure, or halved where nothing of it was done. `kill_rate` is
    the share of invocations whose environment is killed at some moment of it.
    """

    environments: Sequence[Environment]
    chance: Random
    batch_size: int
    kill_rate: float = 0.0
    kills: int = 0
    failures: int = 0

    def deliver(self, records: Sequence[Record]) -> None:
        """Every record once at least; AssertionError when some are never taken."""
        lanes: list[list[Record]] = [[] for _ in self.environments]
        for record in records:
            lanes[_lane(record, len(lanes))].append(record)
        self._at_once(self._deliver_lane, lanes)

    def deliver_again(self, records: Sequence[Record], *, copies: int) -> None:
        """Parts of the stream that were delivered already, in any order, several at a time."""
        parts = []
        for _ in range(copies):
            start = self.chance.randrange(len(records))
            parts.append(records[start : start + self.batch_size])
        self._at_once(
            self._deliver_parts,
            [parts[n :: len(self.environments)] for n in range(len(self.environments))],
        )

    def _at_once(self, deliver: Any, work: Sequence[Any]) -> None:
        seeds = [self.chance.random() for _ in work]
        with ThreadPoolExecutor(len(work)) as lanes:
            done = [
                lanes.submit(deliver, environment, Random(seed), part)
                for environment, seed, part in zip(self.environments, seeds, work, strict=True)
                if part
            ]
        for each in done:
            each.result()

    def _deliver_parts(
        self, environment: Environment, chance: Random, parts: Sequence[Sequence[Record]]
    ) -> None:
        for part in parts:
            self._deliver_lane(environment, chance, part)

    def _deliver_lane(
        self, environment: Environment, chance: Random, records: Sequence[Record]
    ) -> None:
        position, size = 0, self.batch_size
        for _ in range(ATTEMPTS_MAX):
            if position >= len(records):
                return
            batch = records[position : position + size]
            done = self._invoke(environment, chance, batch)
            position += done
            size = self.batch_size if done else max(1, len(batch) // 2)
        message = f"{len(records) - position} records are left"
        raise AssertionError(message)

    def _invoke(self, environment: Environment, chance: Random, batch: Sequence[Record]) -> int:
        """How many records from the first one on were taken."""
        event = {"Records": list(batch)}
        if chance.random() < self.kill_rate:
            self.kills += 1
            seconds = chance.random() * KILLED_WITHIN_SECONDS
            environment.invoke_and_kill(event, lambda invocation: invocation.done.wait(seconds))
            return 0
        invocation = environment.invoke(event)
        if invocation.answer is None:
            self.failures += 1
            return 0
        failed = [failure["itemIdentifier"] for failure in invocation.answer["batchItemFailures"]]
        self.failures += bool(failed)
        numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
        return min(map(numbers.index, failed)) if failed else len(batch)


def _lane(record: Record, lanes: int) -> int:
    """Where the records of one item go."""
    keys = repr(sorted(record["dynamodb"]["Keys"].items()))
    return sha256(keys.encode()).digest()[0] % lanes
