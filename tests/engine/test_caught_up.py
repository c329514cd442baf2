"""`run --until-caught-up` asks a worker which tables are behind, while a shard comes to its end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import pytest

from replicator.engine.worker.worker import Worker
from tests.engine.simulation import SOURCE, Server, Simulation
from tests.support.fake_postgres import ListingRow, ShardRow
from tests.support.fakes import FakeHeartbeats
from tests.support.virtual_time import VirtualLoop, virtual_loop

ANSWER_SECONDS = 0.02
READS_MAX = 4
"""More calls than one question takes."""
Result = TypeVar("Result")


@dataclass(slots=True)
class EndingTable(Simulation):
    """A table of one shard, which another worker reads to the end after some call of the asker."""

    answered: int = 0
    ends_after: int = -1

    async def _send(
        self, worker: str, server: Server, name: str, work: Callable[[], Result]
    ) -> Result:
        del worker, server, name
        await asyncio.sleep(ANSWER_SECONDS)
        answer = work()
        self.answered += 1
        if self.answered == self.ends_after:
            self.end_shard()
        return answer

    def begin(self) -> None:
        """The stream was listed, and the shard is read, but not yet to the time of the run."""
        now, arn = self.clock.now(), self.streams.table_named(SOURCE).stream.arn
        table = self.postgres.data.tables[SOURCE]
        table.stream_arn, table.start_at, table.initial_load = arn, now, "stream"
        shard = ShardRow(SOURCE, arn, "shard", None, listed=True, found_at=now)
        shard.state, shard.owner, shard.safe_at = "active", "reader", now - timedelta(minutes=1)
        self.postgres.data.shards[shard.name] = shard
        self.postgres.data.polled[SOURCE] = {shard.name: shard}
        self.list_stream()

    def asker(self) -> Worker:
        """A worker that is asked, and takes no part in the work."""
        return self._worker("asker", FakeHeartbeats)

    def end_shard(self) -> None:
        """The reader of the shard comes to its end."""
        [shard] = self.postgres.data.shards.values()
        shard.state, shard.owner, shard.done_at = "done", None, self.clock.now()

    def list_stream(self) -> None:
        """Somebody lists the stream, and finds no other shard or stream."""
        now = self.clock.now()
        self.postgres.data.listings[SOURCE] = ListingRow("lister", now, now, listed_at=now)


def pass_by(loop: VirtualLoop, seconds: float) -> None:
    loop.run_until_complete(asyncio.sleep(seconds))


@pytest.mark.parametrize("ends_after", range(1, READS_MAX))
def test_a_shard_that_ends_during_the_question_leaves_the_table_behind_until_the_stream_is_listed(
    ends_after: int,
):
    with virtual_loop() as loop:
        world = EndingTable(loop)
        world.begin()
        worker = world.asker()
        run_began_at = world.clock.now()

        def behind() -> frozenset[str]:
            pass_by(loop, 1)
            return loop.run_until_complete(worker.behind(run_began_at))

        behind()
        world.list_stream()
        assert behind() == {SOURCE}  # the shard is not read far enough

        world.ends_after = world.answered + ends_after
        assert behind() == {SOURCE}
        assert behind() == {SOURCE}  # a new stream may follow: nobody has listed since the end

        pass_by(loop, 1)
        world.list_stream()
        assert behind() == frozenset()
