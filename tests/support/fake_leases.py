"""A lease table in memory that changes rows only as the real one's conditions allow."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from replicator.core.leases.lease_plan import Lease
from replicator.errors import LeaseLost
from tests.support.faults import Send


@dataclass(slots=True)
class LeaseTable:
    """What the server holds; `prefix` begins every key of the deployment."""

    rows: dict[str, Lease]
    prefix: str = "test:"

    def __init__(self, prefix: str = "test:") -> None:
        self.rows = {}
        self.prefix = prefix

    def steal(self, key: str, owner: str) -> None:
        """Another worker takes the lease at this moment."""
        lease = self.rows[key]
        self.rows[key] = replace(lease, owner=owner, counter=lease.counter + 1, wanted_by=None)


class FakeLeases:
    """The lease table as one worker sees it."""

    def __init__(self, table: LeaseTable, send: Send, worker_id: str) -> None:
        self._table = table
        self._send = send
        self._worker_id = worker_id

    def key(self, stream_arn: str, shard_id: str) -> str:
        return f"{self._table.prefix}{stream_arn}:{shard_id}"

    async def all(self) -> list[Lease]:
        return await self._send("all", lambda: list(self._table.rows.values()))

    async def some(self, keys: Collection[str]) -> list[Lease]:
        def work() -> list[Lease]:
            return [self._table.rows[key] for key in keys if key in self._table.rows]

        return await self._send("some", work)

    async def create(self, key: str, *, checkpoint: str, parent_id: str | None) -> None:
        parents = () if parent_id is None else (parent_id,)
        lease = Lease(key, None, 0, checkpoint, parents)
        await self._send("create", lambda: self._table.rows.setdefault(key, lease))

    async def take(self, lease: Lease) -> Lease:
        return await self._update(
            "take",
            lease.key,
            lambda row: row.counter == lease.counter,
            lambda row: replace(
                row, owner=self._worker_id, switches=row.switches + 1, wanted_by=None
            ),
        )

    async def renew(self, key: str) -> Lease:
        return await self._update("renew", key, self._is_ours, lambda row: row)

    async def save(self, key: str, checkpoint: str) -> Lease:
        return await self._update(
            "save", key, self._is_ours, lambda row: replace(row, checkpoint=checkpoint, switches=0)
        )

    async def release(self, key: str, *, checkpoint: str | None = None) -> None:
        def given_back(row: Lease) -> Lease:
            saved = row if checkpoint is None else replace(row, checkpoint=checkpoint, switches=0)
            return replace(saved, owner=None)

        await self._update("release", key, self._is_ours, given_back)

    async def ask(self, lease: Lease) -> bool:
        def work() -> bool:
            row = self._table.rows.get(lease.key)
            heard = (
                row is not None
                and row.owner == (lease.owner or "")
                and row.wanted_by in (None, self._worker_id)
            )
            if row is not None and heard:
                self._table.rows[lease.key] = replace(row, wanted_by=self._worker_id)
            return heard

        return await self._send("ask", work)

    async def delete(self, key: str) -> None:
        await self._send("delete", lambda: self._table.rows.pop(key, None))

    def _is_ours(self, lease: Lease) -> bool:
        return lease.owner == self._worker_id

    async def _update(
        self,
        name: str,
        key: str,
        condition: Callable[[Lease], bool],
        change: Callable[[Lease], Lease],
    ) -> Lease:
        def work() -> Lease:
            row = self._table.rows.get(key)
            if row is None or not condition(row):
                message = f"the lease {key} is another worker's"
                raise LeaseLost(message)
            changed = replace(change(row), counter=row.counter + 1)
            self._table.rows[key] = changed
            return changed

        return await self._send(name, work)
