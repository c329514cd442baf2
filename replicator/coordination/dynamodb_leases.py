"""Leases and checkpoints as rows of a DynamoDB table, changed by conditional writes only."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from replicator.core.leases.lease_plan import Lease
from replicator.core.telemetry_events import Observe, SourceAnswered
from replicator.errors import (
    ConfigurationError,
    CoordinationUnavailable,
    LeaseLost,
)

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

_KEY = "leaseKey"
_CONDITION_FAILED = "ConditionalCheckFailedException"
_MISSING = "ResourceNotFoundException"
_SAVED = "set checkpoint = :checkpoint, ownerSwitchesSinceCheckpoint = :zero"
_log = structlog.get_logger(__name__)
T = TypeVar("T")


BATCH_MAX = 100
"""Keys that BatchGetItem takes at a time."""
_GRANT = "grant the action on coordination.table to the identity, as docs/operations say"


def _nothing(_: Any) -> Any:  # noqa: ANN401 (for calls whose answer says nothing)
    return None


def _remedy(code: str) -> str | None:
    """The remedy for a refusal of the lease table; None for a failure that passes by itself."""
    if "AccessDenied" in code or code in ("NotAuthorized", "UnauthorizedOperation"):
        return _GRANT
    if "Signature" in code or "Token" in code or code in ("RequestExpired", "NoCredentialsError"):
        return "check the credentials of the process, and this machine's clock"
    if "Throughput" in code or "Throttling" in code or code == "RequestLimitExceeded":
        return "raise the capacity of coordination.table, or make it on-demand, if this lasts"
    return None


class DynamoDBLeases:
    """The lease table of one deployment, in KCL's attribute names.

    `deployment` prefixes every key, so that two deployments never share a lease.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        observe: Observe,
        *,
        table: str,
        deployment: str,
        worker_id: str,
    ) -> None:
        self._client = client
        self._observe = observe
        self._table = table
        self._prefix = f"{deployment}:"
        self._worker_id = worker_id
        self._may_get = True
        """False once BatchGetItem was denied, as by policies of earlier versions."""

    def key(self, stream_arn: str, shard_id: str) -> str:
        """The lease key of a shard."""
        return f"{self._prefix}{stream_arn}:{shard_id}"

    async def ensure_table(self) -> None:
        """Create the table when missing, and wait until the table is active."""
        if not await self.exists():
            await self._create_table()
        while True:
            table = await self._call(
                "DescribeTable", self._client.describe_table, read=lambda answer: answer["Table"]
            )
            if table["TableStatus"] in ("ACTIVE", "UPDATING"):
                break
            await asyncio.sleep(0.2)
        if table["KeySchema"] != [{"AttributeName": _KEY, "KeyType": "HASH"}]:
            message = f"the DynamoDB table {self._table!r} exists but is no lease table"
            raise ConfigurationError(message, remedy="name another in coordination.table")

    async def _create_table(self) -> None:
        try:
            await self._call(
                "CreateTable",
                self._client.create_table,
                KeySchema=[{"AttributeName": _KEY, "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": _KEY, "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        except _ConditionFailed:
            return  # another worker creates it at this moment

    async def exists(self) -> bool:
        """True when the lease table exists; `ensure_table` creates it."""
        try:
            await self._call("DescribeTable", self._client.describe_table)
        except _TableMissing:
            return False
        return True

    async def all(self) -> list[Lease]:
        """Every lease of the deployment.

        An unreadable row is named and left alone. A missing table is made again: leases only divide
        the work, positions are elsewhere.
        """
        try:
            return await self._scan()
        except _TableMissing:
            await self.ensure_table()
            return []

    async def _scan(self) -> list[Lease]:
        leases: list[Lease] = []
        arguments: dict[str, Any] = {
            "ConsistentRead": True,
            "FilterExpression": "begins_with(leaseKey, :prefix)",
            "ExpressionAttributeValues": {":prefix": {"S": self._prefix}},
        }
        while True:
            items, last = await self._call(
                "Scan",
                self._client.scan,
                read=lambda page: (list(page["Items"]), page.get("LastEvaluatedKey")),
                **arguments,
            )
            leases += [lease for lease in map(self._understood, items) if lease is not None]
            if last is None:
                return leases
            arguments["ExclusiveStartKey"] = last

    async def some(self, keys: Collection[str]) -> list[Lease]:
        """The given leases that exist; from a whole Scan where BatchGetItem is not
        allowed."""
        if self._may_get:
            try:
                return await self._get(list(keys))
            except _TableMissing:
                await self.ensure_table()
                return []
            except _Denied as error:
                self._may_get = False
                _log.warning("the lease table is read whole, which costs more", reason=str(error))
        wanted = set(keys)
        return [lease for lease in await self.all() if lease.key in wanted]

    async def _get(self, keys: list[str]) -> list[Lease]:
        leases: list[Lease] = []
        left: list[dict[str, Any]] = [{_KEY: {"S": key}} for key in keys]
        pause = 0.05
        while left:
            asked, left = left[:BATCH_MAX], left[BATCH_MAX:]
            items, unread = await self._call(
                "BatchGetItem",
                self._batch_get,
                read=partial(_batch, table=self._table),
                keys=asked,
            )
            leases += [lease for lease in map(self._understood, items) if lease is not None]
            left += unread
            if unread:
                await asyncio.sleep(pause)
                pause = min(2 * pause, 1.0)
        return leases

    def _batch_get(self, *, TableName: str, keys: list[Any]) -> Awaitable[Any]:  # noqa: N803
        request: Any = {TableName: {"Keys": keys, "ConsistentRead": True}}
        return self._client.batch_get_item(RequestItems=request)

    def _understood(self, item: dict[str, Any]) -> Lease | None:
        try:
            return _lease(item)
        except (KeyError, ValueError, TypeError, AttributeError):
            _log.error("lease row not understood", lease_key=item.get(_KEY))
            return None

    async def create(self, key: str, *, checkpoint: str, parent_id: str | None) -> None:
        """Add a free lease; an existing lease is left unchanged."""
        item: dict[str, Any] = {
            _KEY: {"S": key},
            "leaseCounter": {"N": "0"},
            "checkpoint": {"S": checkpoint},
            "ownerSwitchesSinceCheckpoint": {"N": "0"},
            "parentShardId": {"L": [{"S": parent_id}] if parent_id is not None else []},
        }
        try:
            await self._call(
                "PutItem",
                self._client.put_item,
                Item=item,
                ConditionExpression="attribute_not_exists(leaseKey)",
            )
        except _ConditionFailed:
            return

    async def take(self, lease: Lease) -> Lease:
        """Take the lease for the worker if unchanged since the reading; LeaseLost otherwise."""
        values = {
            ":me": {"S": self._worker_id},
            ":seen": {"N": str(lease.counter)},
            ":one": {"N": "1"},
        }
        return await self._update(
            lease.key,
            "set leaseOwner = :me add leaseCounter :one, ownerSwitchesSinceCheckpoint :one "
            "remove wantedBy",
            "leaseCounter = :seen",
            values,
        )

    async def renew(self, key: str) -> Lease:
        """Show that the worker lives; LeaseLost when another worker has the lease."""
        return await self._update_own(key, "add leaseCounter :one")

    async def save(self, key: str, checkpoint: str) -> Lease:
        """Move the checkpoint; LeaseLost when the lease is not ours any more."""
        return await self._update_own(key, f"{_SAVED} add leaseCounter :one", _saved(checkpoint))

    async def release(self, key: str, *, checkpoint: str | None = None) -> None:
        """Give the lease back, so that no worker waits for the expiry.

        LeaseLost if another one has the lease. A given checkpoint is saved as well. Whoever asked
        for the lease stays known, and takes it.
        """
        free = "remove leaseOwner add leaseCounter :one"
        if checkpoint is None:
            await self._update_own(key, free)
        else:
            await self._update_own(key, f"{_SAVED} {free}", _saved(checkpoint))

    async def ask(self, lease: Lease) -> bool:
        """Ask the owner to hand the lease over; False where another worker has asked before.

        A worker may ask again: an answer may be lost, and so may the word to the owner.
        """
        try:
            await self._update(
                lease.key,
                "set wantedBy = :me",
                "leaseOwner = :owner and (attribute_not_exists(wantedBy) or wantedBy = :me)",
                {":me": {"S": self._worker_id}, ":owner": {"S": lease.owner or ""}},
            )
        except LeaseLost:
            return False
        return True

    async def delete(self, key: str) -> None:
        """Remove a lease; a missing lease is no error."""
        await self._call("DeleteItem", self._client.delete_item, Key={_KEY: {"S": key}})

    async def _update_own(
        self, key: str, update: str, values: dict[str, Any] | None = None
    ) -> Lease:
        values = {":me": {"S": self._worker_id}, ":one": {"N": "1"}, **(values or {})}
        return await self._update(key, update, "leaseOwner = :me", values)

    async def _update(self, key: str, update: str, condition: str, values: dict[str, Any]) -> Lease:
        try:
            return await self._call(
                "UpdateItem",
                self._client.update_item,
                read=lambda answer: _lease(answer["Attributes"]),
                Key={_KEY: {"S": key}},
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
            )
        except _ConditionFailed as error:
            message = f"the lease {key} is another worker's"
            raise LeaseLost(message) from error

    async def _call(
        self,
        operation: str,
        method: Callable[..., Any],
        *,
        read: Callable[[Any], T] = _nothing,
        **arguments: object,
    ) -> T:
        """Call and read the answer; CoordinationUnavailable for an answer of another shape."""
        try:
            found = read(await method(TableName=self._table, **arguments))
        except (BotoCoreError, ClientError, ResponseParserError, OSError) as error:
            code = (
                error.response["Error"]["Code"]
                if isinstance(error, ClientError)
                else type(error).__name__
            )
            self._observe(SourceAnswered(operation, code))
            if code in (_CONDITION_FAILED, "ResourceInUseException"):
                raise _ConditionFailed from error
            message = f"lease table {self._table!r}: {operation}: {error}"
            if code == _MISSING:
                raise _TableMissing(message) from error
            remedy = _remedy(code)
            if remedy == _GRANT:
                raise _Denied(message, remedy=remedy) from error
            raise CoordinationUnavailable(message, remedy=remedy) from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            self._observe(SourceAnswered(operation, "InvalidAnswer"))
            message = f"lease table {self._table!r}: {operation}: the answer is not as documented"
            raise CoordinationUnavailable(message, remedy="check endpoint_url") from error
        self._observe(SourceAnswered(operation, "ok"))
        return found


class _ConditionFailed(Exception):
    """A conditional write found the row otherwise than the condition says."""


class _Denied(CoordinationUnavailable):
    """The identity may not make the call."""


class _TableMissing(CoordinationUnavailable):
    """The lease table does not exist."""


def _batch(answer: Any, *, table: str) -> tuple[list[Any], list[Any]]:  # noqa: ANN401
    """The items of a batch, and the keys that were not read."""
    unread = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
    return list(answer["Responses"].get(table, ())), list(unread)


def _saved(checkpoint: str) -> dict[str, Any]:
    return {":checkpoint": {"S": checkpoint}, ":zero": {"N": "0"}}


def _lease(item: dict[str, Any]) -> Lease:
    owner = item.get("leaseOwner", {}).get("S")
    parents = item.get("parentShardId", {})
    return Lease(
        key=item[_KEY]["S"],
        owner=owner or None,
        counter=int(item["leaseCounter"]["N"]),
        checkpoint=item["checkpoint"]["S"],
        parents=tuple(parents.get("SS") or [parent["S"] for parent in parents.get("L", ())]),
        switches=int(item.get("ownerSwitchesSinceCheckpoint", {}).get("N", "0")),
        wanted_by=item.get("wantedBy", {}).get("S"),
    )
