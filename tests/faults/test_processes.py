"""Processes that are told to end at a bad moment, and two that believe they are one."""

import signal
from pathlib import Path

import pytest

from tests.faults.conftest import NewReplica
from tests.support.bounds import scaled
from tests.support.daemon import Worker, plain_start
from tests.support.nobody import PORT_OF_NOBODY

pytestmark = pytest.mark.faults

ONE_ID = "import uuid\nuuid.uuid4 = lambda: uuid.UUID(int=7)\n"
END_SECONDS_MAX = scaled(60)
"""Ten are promised, by a machine that has time for it."""


async def started(worker: Worker) -> None:
    async def said() -> bool:
        return bool(worker.entries("started"))

    await worker.until(said, what="it says that it has started")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_told_to_end_while_nothing_answers_it_ends_at_once(
    new_replica: NewReplica, number: signal.Signals
):
    nobody = f"postgresql://postgres@127.0.0.1:{PORT_OF_NOBODY}/postgres"
    async with new_replica(worker_dsn=nobody) as it:
        it.deployment.settings["source"]["endpoint_url"] = f"http://127.0.0.1:{PORT_OF_NOBODY}"
        worker = it.deployment.start()
        await started(worker)

        worker.signal(number)

        assert await worker.ended(seconds=END_SECONDS_MAX) == 0
        assert "Traceback" not in worker.text()


async def test_told_twice_under_load_it_ends_once_and_loses_nothing(new_replica: NewReplica):
    async with new_replica(shards=2) as it:
        worker = await it.deployment.start_ready()
        async with it.load.going_on(a_second=400):
            await it.applied(worker, "key-000001")
            worker.signal(signal.SIGTERM)
            worker.signal(signal.SIGINT)
            worker.signal(signal.SIGTERM)
            assert await worker.ended(seconds=END_SECONDS_MAX) == 0
        assert "Traceback" not in worker.text()

        heir = it.deployment.start()
        await it.equal(heir)
        (await it.log()).obeys()


async def test_two_workers_with_one_id_disturb_each_other_and_write_nothing_twice(
    new_replica: NewReplica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Ids have a random part; where chance fails, the fence does not."""
    (tmp_path / "sitecustomize.py").write_text(ONE_ID)
    async with new_replica(shards=2) as it:
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        it.deployment.launch = plain_start
        workers = [await it.deployment.start_ready(), await it.deployment.start_ready()]
        assert len({worker.entries("started")[0]["worker"] for worker in workers}) == 1
        for _ in range(4):
            it.load.write(50)
            await it.equal(*workers)

        assert [await worker.stop() for worker in workers] == [0, 0]
        (await it.log()).obeys()
