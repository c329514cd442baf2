"""The servers of a simulated fleet: their latencies, their limits, and the bill of their calls."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from random import Random
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from replicator.coordination.dynamodb_leases import BATCH_MAX
from replicator.core.stream.stream_facts import ListedShard
from replicator.errors import CoordinationUnavailable, SinkUnavailable
from replicator.sources.dynamodb.streams import SHARDS_PER_PAGE
from tests.support.fake_leases import LeaseTable

Result = TypeVar("Result")
LATENCY_SECONDS = {"leases": 0.015, "postgres": 0.003, "streams": 0.02}
LEASE_BYTES = 350
"""A row of the lease table: its names, an ARN, a shard id, a sequence number."""
READ_BYTES = 4096
"""What one consistent read request unit reads."""
PAGE_BYTES = 1_000_000
"""What one Scan answers at most: as many calls follow each other."""
SLOW = "slow"
"""Stands among what a worker is cut off from: it reaches all, and waits."""
DESCRIBES_A_SECOND = 10
"""What AWS allows an account."""
WRITES = ("create", "take", "renew", "save", "release", "ask", "delete")
WRITE_USD, READ_USD = 0.625e-6, 0.125e-6
SECONDS_A_MONTH = 30 * 86_400


@dataclass(slots=True)
class Bill:
    """Calls by name, and the request units of the lease table."""

    calls: Counter[str] = field(default_factory=Counter)
    write_units: float = 0.0
    read_units: float = 0.0
    described: Counter[int] = field(default_factory=Counter)
    """DescribeStream calls of each second."""

    def usd_a_month(self, seconds: float) -> float:
        """The lease table's bill, if it went on as in these seconds."""
        usd = self.write_units * WRITE_USD + self.read_units * READ_USD
        return usd * SECONDS_A_MONTH / seconds


@dataclass(frozen=True, slots=True)
class Reached:
    """The servers as one worker reaches them."""

    servers: "Servers"
    cut_off: Collection[str]

    async def _lags(self, server: str) -> None:
        """A slow worker waits ten times as long for every answer."""
        if SLOW in self.cut_off:
            await asyncio.sleep(9 * LATENCY_SECONDS[server])

    async def lease_call(self, name: str, work: Callable[[], Result]) -> Result:
        if "leases" in self.cut_off:
            await asyncio.sleep(LATENCY_SECONDS["leases"])
            message = "the lease table is out of reach"
            raise CoordinationUnavailable(message)
        await self._lags("leases")
        return await self.servers.lease_call(name, work)

    async def postgres_call(self, name: str, work: Callable[[], Result]) -> Result:
        if "postgres" in self.cut_off or name in self.cut_off:
            await asyncio.sleep(LATENCY_SECONDS["postgres"])
            message = "PostgreSQL is out of reach"
            raise SinkUnavailable(message)
        await self._lags("postgres")
        return await self.servers.postgres_call(name, work)


class Servers:
    """What is between the workers and the rows."""

    def __init__(self, leases: LeaseTable, random: Random) -> None:
        self.leases = leases
        self.bill = Bill()
        self._random = random
        self.open: dict[str, ListedShard] = {}
        """The shards of the stream, by id."""

    def reached_by(self, cut_off: Collection[str]) -> Reached:
        """The servers as a worker reaches them that is cut off from some of them."""
        return Reached(self, cut_off)

    async def lease_call(self, name: str, work: Callable[[], Result]) -> Result:
        pages = 1
        if name == "all":
            size = len(self.leases.rows) * LEASE_BYTES
            pages = max(1, ceil(size / PAGE_BYTES))
            self.bill.read_units += max(1, ceil(size / READ_BYTES))
        elif name in WRITES:
            self.bill.write_units += 1
        result = await self._call(f"leases {name}", "leases", work, calls=pages)
        if name == "some" and isinstance(result, list):
            self.bill.read_units += len(result)
            self.bill.calls["leases some"] += len(result) // BATCH_MAX
        return result

    async def postgres_call(self, name: str, work: Callable[[], Result]) -> Result:
        return await self._call(f"postgres {name}", "postgres", work)

    async def _call(
        self, name: str, server: str, work: Callable[[], Result], *, calls: int = 1
    ) -> Result:
        self.bill.calls[name] += calls
        typical = LATENCY_SECONDS[server] * calls
        await asyncio.sleep(typical * self._random.uniform(0.6, 1.6))
        return work()

    # the stream, as botocore's client has it

    async def describe_stream(self, **request: Any) -> Any:
        """A page of the stream's shards, or a refusal of what is more than AWS allows."""
        second = int(asyncio.get_running_loop().time())
        self.bill.described[second] += 1
        if self.bill.described[second] > DESCRIBES_A_SECOND:
            self.bill.calls["streams throttled"] += 1
            error = {"Error": {"Code": "LimitExceededException"}}
            raise ClientError(error, "DescribeStream")  # type: ignore[arg-type]
        return await self._call("streams describe", "streams", partial(self._page, request))

    def _page(self, request: Mapping[str, Any]) -> dict[str, Any]:
        parent = request.get("ShardFilter", {}).get("ShardId")
        shards = [s for s in self.open.values() if parent in (None, s.parent_id)]
        start = request.get("ExclusiveStartShardId")
        begin = 0 if start is None else 1 + [shard.shard_id for shard in shards].index(start)
        page = shards[begin : begin + SHARDS_PER_PAGE]
        more = begin + len(page) < len(shards)
        described = [
            {"ShardId": shard.shard_id, "ParentShardId": shard.parent_id} for shard in page
        ]
        last = {"LastEvaluatedShardId": page[-1].shard_id} if more else {}
        return {"StreamDescription": {"Shards": described, **last}}
