"""The servers of a simulated fleet: their latencies, their limits, and the bill of their calls."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from random import Random
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from replicator.coordination.dynamodb_leases import BATCH_MAX
from replicator.core.stream.table_and_shard_facts import ListedShard
from replicator.engine.stream.shard_discovery import NewestStream
from replicator.errors import CoordinationUnavailable, SinkUnavailable
from replicator.sources.dynamodb.streams import SHARDS_PER_PAGE
from tests.support.fake_leases import LeaseTable
from tests.support.virtual_time import START

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
HANGING_LEASES, HANGING_SECONDS = "hanging leases", 60.0
"""Stands among what a worker is cut off from: calls of the lease table fail after so long."""
LATE_RELEASES, LATE_SECONDS = "late releases", 8.0
"""Stands among what a worker is cut off from: what gives a lease back arrives so much later."""
REFUSED_TAKES = "refused takes"
"""Stands among what a worker is cut off from: half of what adds and takes leases is refused."""
LOST_REQUESTS = "lost requests"
"""Stands among what a worker is cut off from: a request for a lease is heard, and not answered."""
REFUSED_RELEASES = "refused releases"
"""Stands among what a worker is cut off from: it cannot give back a lease."""
DESCRIBES_A_SECOND = 10
"""What AWS allows an account."""
WRITES = ("create", "take", "renew", "save", "release", "ask", "delete")
WRITE_USD, READ_USD = 0.625e-6, 0.125e-6
SECONDS_A_MONTH = 30 * 86_400


@dataclass(slots=True)
class Bill:
    """Calls by name, and the request units of the lease table."""

    calls: Counter[str] = field(default_factory=Counter)
    peaks: Counter[str] = field(default_factory=Counter)
    """Calls by name, of the second with the most."""
    write_units: float = 0.0
    read_units: float = 0.0
    described_max: int = 0
    """DescribeStream calls within one second, at most, whenever that second begins."""
    _second: int = -1
    _in_second: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, *, now: float, calls: int = 1) -> None:
        """Note calls that arrive now."""
        if int(now) != self._second:
            self._second = int(now)
            self._in_second.clear()
        self.calls[name] += calls
        self._in_second[name] += calls
        self.peaks[name] = max(self.peaks[name], self._in_second[name])

    def usd_a_month(self, seconds: float) -> float:
        """The lease table's bill, if it went on as in these seconds."""
        usd = self.write_units * WRITE_USD + self.read_units * READ_USD
        return usd * SECONDS_A_MONTH / seconds


@dataclass(slots=True)
class Stream:
    """The shards of a stream in the order of a listing: a day of closed ones, and the open ones."""

    arn: str
    shards: dict[str, ListedShard] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)
    _ids: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def add(self, shard: ListedShard) -> None:
        """Begin a shard."""
        self.shards[shard.shard_id] = shard
        self._places[shard.shard_id] = len(self._ids)
        self._ids.append(shard.shard_id)
        if shard.parent_id is not None:
            self.children.setdefault(shard.parent_id, []).append(shard.shard_id)

    def close(self, shard_id: str) -> None:
        """End a shard."""
        self.shards[shard_id] = replace(self.shards[shard_id], closed=True)

    def age(self, closed: Sequence[ListedShard]) -> None:
        """Let it begin with shards that have ended, whose last ones are parents of the first."""
        before, self.shards = self.shards, {}
        self._ids, self._places, self.children = [], {}, {}
        for shard in (*closed, *before.values()):
            self.add(shard)

    def page(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of DescribeStream."""
        parent = request.get("ShardFilter", {}).get("ShardId")
        start = request.get("ExclusiveStartShardId")
        if parent is not None:
            ids, more = self.children.get(parent, []), False
        else:
            begin = 0 if start is None else self._places[start] + 1
            ids = self._ids[begin : begin + SHARDS_PER_PAGE]
            more = begin + len(ids) < len(self._ids)
        page = [self.shards[shard_id] for shard_id in ids]
        described = [
            {"ShardId": shard.shard_id, "ParentShardId": shard.parent_id} for shard in page
        ]
        last = {"LastEvaluatedShardId": ids[-1]} if more else {}
        return {"StreamDescription": {"Shards": described, **last}}


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
        hangs = HANGING_LEASES in self.cut_off
        if hangs or "leases" in self.cut_off:
            await asyncio.sleep(HANGING_SECONDS if hangs else LATENCY_SECONDS["leases"])
            message = "the lease table is out of reach"
            raise CoordinationUnavailable(message)
        if self._refuses(name):
            await asyncio.sleep(LATENCY_SECONDS["leases"])
            message = "the lease table refuses"
            raise CoordinationUnavailable(message)
        await self._lags("leases")
        if name == "release" and LATE_RELEASES in self.cut_off:
            await asyncio.sleep(LATE_SECONDS)
        answer = await self.servers.lease_call(name, work)
        if name == "ask" and LOST_REQUESTS in self.cut_off:
            message = "the answer is lost"
            raise CoordinationUnavailable(message)
        return answer

    def _refuses(self, name: str) -> bool:
        if name == "release" and REFUSED_RELEASES in self.cut_off:
            return True
        half = name in ("create", "take") and REFUSED_TAKES in self.cut_off
        return half and self.servers.refuses_half()

    async def postgres_call(self, name: str, work: Callable[[], Result]) -> Result:
        if "postgres" in self.cut_off or name in self.cut_off:
            await asyncio.sleep(LATENCY_SECONDS["postgres"])
            message = "PostgreSQL is out of reach"
            raise SinkUnavailable(message)
        await self._lags("postgres")
        return await self.servers.postgres_call(name, work)

    async def describe_table(self, stream_arn: str) -> NewestStream:
        await self.servers.call("dynamodb DescribeTable", "streams", str)
        return NewestStream(stream_arn, START)


class Servers:
    """What is between the workers and the rows."""

    def __init__(self, leases: LeaseTable, random: Random) -> None:
        self.leases = leases
        self.bill = Bill()
        self._random = random
        self.streams: dict[str, Stream] = {}
        self._described: deque[float] = deque(maxlen=DESCRIBES_A_SECOND)
        """When the last calls of DescribeStream were answered that AWS counts."""

    def reached_by(self, cut_off: Collection[str]) -> Reached:
        """The servers as a worker reaches them that is cut off from some of them."""
        return Reached(self, cut_off)

    def refuses_half(self) -> bool:
        """True for each second call, by chance."""
        return self._random.random() < 0.5

    async def lease_call(self, name: str, work: Callable[[], Result]) -> Result:
        pages = 1
        if name == "all":
            size = len(self.leases.rows) * LEASE_BYTES
            pages = max(1, ceil(size / PAGE_BYTES))
            self.bill.read_units += max(1, ceil(size / READ_BYTES))
        elif name in WRITES:
            self.bill.write_units += 1
        result = await self.call(f"leases {name}", "leases", work, calls=pages)
        if name == "some" and isinstance(result, list):
            self.bill.read_units += len(result)
            more = (len(result) - 1) // BATCH_MAX
            self.bill.add("leases some", now=asyncio.get_running_loop().time(), calls=max(0, more))
        return result

    async def postgres_call(self, name: str, work: Callable[[], Result]) -> Result:
        return await self.call(f"postgres {name}", "postgres", work, timed=name == "take_turn")

    async def call(
        self,
        name: str,
        server: str,
        work: Callable[[], Result],
        *,
        calls: int = 1,
        timed: bool = False,
    ) -> Result:
        """One call, with the server's latency; so many calls, one after the other. `timed`: it
        matters when the server hears of it, which is somewhere on the way.
        """
        self.bill.add(name, now=asyncio.get_running_loop().time(), calls=calls)
        seconds = LATENCY_SECONDS[server] * calls * self._random.uniform(0.6, 1.6)
        back = seconds * self._random.uniform(0.1, 0.9) if timed else 0.0
        await asyncio.sleep(seconds - back)
        try:
            return work()
        finally:
            if back:
                await asyncio.sleep(back)

    # the stream, as botocore's client has it

    async def describe_stream(self, **request: Any) -> Any:
        """A page of the stream's shards, or a refusal of what is more than AWS allows."""
        page = partial(self._described_page, request)
        return await self.call("streams DescribeStream", "streams", page, timed=True)

    def _described_page(self, request: Mapping[str, Any]) -> dict[str, Any]:
        now, before = asyncio.get_running_loop().time(), self._described
        within = sum(now - at <= 1.0 for at in before)
        self.bill.described_max = max(self.bill.described_max, within + 1)
        if within >= DESCRIBES_A_SECOND:
            self.bill.add("streams throttled", now=now)
            error = {"Error": {"Code": "LimitExceededException"}}
            raise ClientError(error, "DescribeStream")  # type: ignore[arg-type]
        before.append(now)
        return self.streams[request["StreamArn"]].page(request)
