"""A mapping is changed while a worker runs that still has the former configuration."""

from copy import deepcopy

import pytest

from tests.faults.conftest import NewReplica

pytestmark = pytest.mark.faults


async def test_a_worker_with_the_former_mapping_says_so_and_none_starts_with_it(
    new_replica: NewReplica,
):
    async with new_replica() as it:
        former = deepcopy(it.settings)
        worker = await it.deployment.start_ready()
        it.load.write(20)
        await it.equal(worker)
        target = it.settings["into"]["public.orders"]
        target["columns"] = {**target["columns"], "later": "text"}  # those of all replicas are one
        migrated = await it.deployment.command("migrate")
        assert migrated.code == 0, migrated.text
        assert "Restart every worker" in migrated.stderr

        async def said() -> bool:
            return any("another than this worker's" in line["event"] for line in worker.entries())

        await worker.until(said, what="the worker says that its mapping is not the registered one")
        [line] = [each for each in worker.entries() if "another than this" in each["event"]]
        assert (line["level"], line["table"]) == ("warning", "orders")
        assert "restart this worker" in line["remedy"]

        async def told() -> bool:
            resumed = await it.deployment.command("resume", "--table", "orders")
            return "restart worker" in resumed.stderr

        await worker.until(told, what="`resume` names the worker, once it has told what it runs")
        changed = deepcopy(it.settings)
        it.deployment.settings["tables"]["orders"] = former
        for words in (["run"], ["run", "--migrate"], ["run", "--until-caught-up"]):
            refused = await it.deployment.command(*words)
            assert refused.code == 2, refused.text
            assert "update this configuration" in refused.stderr
        assert await worker.stop() == 3
        it.deployment.settings["tables"]["orders"] = changed
        heir = await it.deployment.start_ready()
        it.load.write(20)
        await it.applied(heir, it.table.all_items()[-1]["pk"]["S"])
        assert await heir.stop() == 0
