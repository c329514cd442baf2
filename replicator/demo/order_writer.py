"""Writes orders into DynamoDB, one after the other, at a rate that eyes can follow."""

import asyncio
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, assert_never

from replicator.aws.error_translation import FAILURES, translate
from replicator.clock import Clock
from replicator.demo.sample_orders import TABLE, Change, Delete, Put, Shop, Update, key_of
from replicator.engine.backoff import stopped_within

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient


class Writer:
    """Counts what DynamoDB has acknowledged."""

    def __init__(self, client: "DynamoDBClient", clock: Clock, *, rate: float) -> None:
        """`rate`: changes a second, as far as the server keeps up."""
        self._client = client
        self._clock = clock
        self._rate = rate
        self._shop = Shop(Random())
        self.written: Counter[type[Change]] = Counter()
        self._written_at: list[float] = []

    @property
    def items(self) -> int:
        """Number of orders in DynamoDB, give or take the one that is being written."""
        return self._shop.orders

    def lag_seconds(self, finished: int) -> float:
        """The age of the oldest change that is not among the first so many; 0 without one.

        The daemon's own lag counts from creation times, which are whole seconds.
        """
        if finished >= len(self._written_at):
            return 0.0
        return self._clock.monotonic() - self._written_at[finished]

    async def stock(self, changes: int) -> None:
        """Write the orders that are there before replication begins; SourceUnavailable."""
        for _ in range(changes):
            await self._write_one()

    async def write(self, stopping: asyncio.Event) -> None:
        """Write until asked to stop; SourceUnavailable when DynamoDB does not answer."""
        started, before = self._clock.monotonic(), len(self._written_at)
        while not stopping.is_set():
            await self._write_one()
            due = started + (len(self._written_at) - before) / self._rate
            await stopped_within(stopping, due - self._clock.monotonic())

    async def _write_one(self) -> None:
        change = self._shop.next_change(self._clock.now())
        try:
            await self._make(change)
        except FAILURES as error:
            raise translate(error) from error
        self.written[type(change)] += 1
        self._written_at.append(self._clock.monotonic())

    async def _make(self, change: Change) -> None:
        match change:
            case Put():
                await self._client.put_item(TableName=TABLE, Item=change.item)
            case Update():
                # both are reserved words of DynamoDB expressions
                names = {"#status": "status", "#lines": "lines"}
                await self._client.update_item(
                    TableName=TABLE,
                    Key=key_of(change.order_id),
                    UpdateExpression=change.expression,
                    ExpressionAttributeNames={
                        short: name for short, name in names.items() if short in change.expression
                    },
                    ExpressionAttributeValues=change.values,
                )
            case Delete():
                await self._client.delete_item(TableName=TABLE, Key=key_of(change.order_id))
            case _:
                assert_never(change)
