"""Leases change only as their conditions allow: the DynamoDB table, and its double."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from replicator.coordination.dynamodb_leases import DynamoDBLeases
from replicator.core.leases.lease_plan import SHARD_END, TRIM_HORIZON, Lease
from replicator.engine.ports import Leases
from replicator.errors import LeaseLost
from tests.support import endpoints
from tests.support.builders import STREAM, shard_name
from tests.support.fake_leases import FakeLeases, LeaseTable
from tests.support.faults import at_once

pytestmark = pytest.mark.both_emulators

ROWS, PADDING = 1000, "x" * 1200
"""Together more than the megabyte that a Scan answers at once."""


@dataclass(frozen=True)
class Ends:
    """The lease table as two workers and another deployment see it."""

    one: Leases
    two: Leases
    elsewhere: Leases

    @property
    def key(self) -> str:
        return self.one.key(STREAM, shard_name(0))

    async def row(self) -> Lease:
        [row] = await self.one.all()
        return row


def fake_ends() -> Ends:
    table = LeaseTable()
    one, two = (FakeLeases(table, at_once, worker) for worker in ("one", "two"))
    return Ends(one, two, FakeLeases(LeaseTable("other:"), at_once, "three"))


@pytest.fixture
async def real_ends(dynamodb_endpoint: str, table_name: str) -> AsyncIterator[Ends]:
    async with endpoints.dynamodb_client(dynamodb_endpoint) as client:

        def made(deployment: str, worker: str) -> DynamoDBLeases:
            return DynamoDBLeases(
                client, lambda _: None, table=table_name, deployment=deployment, worker_id=worker
            )

        one = made("test", "one")
        await one.ensure_table()
        yield Ends(one, made("test", "two"), made("test:2", "three"))


async def conditions_hold(ends: Ends) -> None:
    """A story of two workers that want one lease."""
    await ends.one.create(ends.key, checkpoint=TRIM_HORIZON, parent_id=shard_name(9))
    await ends.two.create(ends.key, checkpoint="111", parent_id=None)
    free = await ends.row()
    assert (free.owner, free.checkpoint, free.parents) == (None, TRIM_HORIZON, (shard_name(9),))

    ours = await ends.one.take(free)
    assert ours.owner == "one"
    assert ours.counter > free.counter
    with pytest.raises(LeaseLost):
        await ends.two.take(free)  # somebody has touched it since
    for verb in (
        ends.two.renew(ends.key),
        ends.two.save(ends.key, "5"),
        ends.two.release(ends.key),
    ):
        with pytest.raises(LeaseLost):
            await verb

    renewed = await ends.one.renew(ends.key)
    assert renewed.counter > ours.counter
    assert await ends.two.ask(renewed)
    assert not await ends.elsewhere.ask(renewed)
    assert await ends.two.ask(renewed)  # the first answer may have been lost
    assert (await ends.one.renew(ends.key)).wanted_by == "two"
    await ends.one.save(ends.key, f"{5:021d}")
    await ends.one.release(ends.key)
    given = await ends.row()
    assert (given.owner, given.wanted_by, int(given.checkpoint)) == (None, "two", 5)

    await ends.two.take(given)
    with pytest.raises(LeaseLost):
        await ends.one.save(ends.key, SHARD_END)
    await ends.two.save(ends.key, SHARD_END)
    assert (await ends.row()).checkpoint == SHARD_END
    assert await ends.elsewhere.all() == []
    assert await ends.one.some([ends.key, ends.one.key(STREAM, "unknown")]) == [await ends.row()]
    await ends.two.delete(ends.key)
    assert await ends.one.all() == []


async def test_the_double_of_the_lease_table_keeps_its_conditions():
    await conditions_hold(fake_ends())


async def test_the_lease_table_keeps_its_conditions(real_ends: Ends):
    await conditions_hold(real_ends)


async def test_a_thousand_leases_are_all_seen_though_they_come_in_pages(
    dynamodb_endpoint: str, table_name: str
):
    async with endpoints.dynamodb_client(dynamodb_endpoint) as client:
        leases = DynamoDBLeases(
            client, lambda _: None, table=table_name, deployment="test", worker_id="one"
        )
        await leases.ensure_table()
        names = [shard_name(number) for number in range(ROWS)]
        for start in range(0, ROWS, 25):
            puts: Any = [
                {
                    "PutRequest": {
                        "Item": {
                            "leaseKey": {"S": leases.key(STREAM, name)},
                            "leaseCounter": {"N": "1"},
                            "checkpoint": {"S": TRIM_HORIZON},
                            "padding": {"S": PADDING},
                        }
                    }
                }
                for name in names[start : start + 25]
            ]
            await client.batch_write_item(RequestItems={table_name: puts})

        keys = {leases.key(STREAM, name) for name in names}

        assert {lease.key for lease in await leases.all()} == keys
        assert {lease.key for lease in await leases.some(keys)} == keys


class Denying:
    """A client whose identity may not call BatchGetItem: no emulator denies anything."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def batch_get_item(self, **_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "BatchGetItem")


async def test_who_may_not_get_leases_reads_them_all(dynamodb_endpoint: str, table_name: str):
    """As with the policy of an earlier version."""
    async with endpoints.dynamodb_client(dynamodb_endpoint) as client:
        denying: Any = Denying(client)
        leases = DynamoDBLeases(
            denying, lambda _: None, table=table_name, deployment="test", worker_id="one"
        )
        await leases.ensure_table()
        one, two = (leases.key(STREAM, shard_name(number)) for number in range(2))
        for key in (one, two):
            await leases.create(key, checkpoint=TRIM_HORIZON, parent_id=None)

        assert [lease.key for lease in await leases.some([two])] == [two]
        assert [lease.key for lease in await leases.some([one])] == [one]
