"""A halted table is told to a webhook and to SNS while replication goes on, and its end too."""

import json
from typing import Any

import pytest

from tests.faults.conftest import NewReplica
from tests.support.daemon import Worker
from tests.support.endpoints import sns_client
from tests.support.ports import kept_port
from tests.support.receiver import Receiver, receiver
from tests.support.waiting import eventually

pytestmark = pytest.mark.faults


def told(got: Receiver) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in got.requests]


async def _any(got: Receiver) -> bool:
    return bool(got.requests)


async def heard(worker: Worker, got: Receiver, count: int) -> list[dict[str, Any]]:
    async def enough() -> bool:
        return len(got.requests) >= count

    await worker.until(enough, what=f"{count} notices have come")
    return told(got)


async def test_a_halted_table_and_its_end_are_told_by_one_of_two_workers(
    new_replica: NewReplica,
):
    async with receiver() as got, new_replica(tables=("orders", "others")) as it:
        it.deployment.settings["notifications"] = {"webhook_url": f"{got.url}/hook"}
        workers = [await it.deployment.start_ready() for _ in range(2)]
        await it.execute("alter table public.orders drop column payload")
        it.load.put("stops")
        [opened] = await heard(workers[0], got, 1)
        assert opened["table"] == "orders"
        assert (opened["kind"], opened["event"]) == ("halted", "opened")
        assert opened["remedy"]
        it.loads["others"].write(10)
        await it.equal(*workers, name="others")

        await it.execute("alter table public.orders add column payload text")
        done = await it.deployment.command("resume", "--table", "orders")
        assert done.code == 0, done.text
        _, resolved = await heard(workers[0], got, 2)

        assert (resolved["kind"], resolved["event"]) == ("halted", "resolved")
        assert [worker.code for worker in workers] == [None, None]


async def test_a_receiver_that_is_away_holds_up_nothing(new_replica: NewReplica):
    async with receiver(port=kept_port()) as got:
        away = got.url
    async with new_replica(tables=("orders", "others")) as it:
        it.deployment.settings["notifications"] = {"webhook_url": f"{away}/token-of-a-hook"}
        worker = await it.deployment.start_ready()
        await it.execute("alter table public.orders drop column payload")
        it.load.put("stops")

        async def warned() -> bool:
            return "a notice was not delivered: 127.0.0.1 cannot be reached" in worker.text()

        await worker.until(warned, what="the log says so")
        it.loads["others"].write(10)
        await it.equal(worker, name="others")
        assert "token-of-a-hook" not in worker.text()


async def test_a_topic_of_sns_is_told(new_replica: NewReplica):
    async with new_replica() as it, sns_client(it.lease_endpoint) as sns:
        topic = (await sns.create_topic(Name="replicator"))["TopicArn"]
        async with receiver() as got:
            await sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"{got.url}/hook")
            await eventually(lambda: _any(got), what="SNS asks whether the address wants it")
            await sns.confirm_subscription(TopicArn=topic, Token=told(got)[0]["Token"])
            it.deployment.settings["notifications"] = {
                "sns_topic": topic,
                "sns_endpoint_url": it.lease_endpoint,
            }
            worker = await it.deployment.start_ready()
            await it.execute("alter table public.orders drop column payload")
            it.load.put("stops")

            async def published() -> list[dict[str, Any]]:
                return [each for each in told(got) if each["Type"] == "Notification"]

            [envelope] = await worker.until(published, what="SNS hands the notice on")

        assert envelope["Subject"].endswith(": orders: halted opened")
        assert json.loads(envelope["Message"])["table"] == "orders"
