"""Facts for tests, with what does not matter left out."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.stream.claims import Claim
from replicator.core.stream.decoding.dynamodb_records import numbers_of
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.table_and_shard_facts import ListedShard, ShardFacts
from replicator.core.stream_record import Event, StreamRecord
from replicator.core.table_spec import KeyType, SourceKey, TableSpec, TargetSpec
from tests.support.specs import column_spec

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = SourceKey((("pk", "S"),))
STREAM = "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/2026-03-01T00:00:00.000"


def record(
    number: int,
    key: str = "a",
    *,
    event: Event | None = None,
    at: datetime | None = NOON,
    expired: bool = False,
    **attributes: Any,
) -> StreamRecord:
    """A change: a removal when nothing but the key is said. Attributes are typed values."""
    keys = {"pk": {"S": key}}
    kind: Event = event or ("modify" if attributes else "remove")
    image = json.dumps({**keys, **attributes}).encode() if kind != "remove" else None
    return StreamRecord(
        *numbers_of(number),
        event=kind,
        keys=keys,
        new_image=memoryview(image) if image is not None else None,
        old_image=None,
        created_at=None if at is None else at.timestamp(),
        expired=expired,
    )


def table_mapping(
    *targets: TargetSpec, key: tuple[tuple[str, KeyType], ...] = KEY.attributes, **options: Any
) -> TableMapping:
    """A mapping of a table with the key `pk`; without targets: n bigint into public.t."""
    spec = TableSpec("orders", "orders", targets or (target(),), **options)
    return compile_table(spec, SourceKey(key))


def target(name: str = "public.t", **options: Any) -> TargetSpec:
    """A target with one column: n bigint."""
    return TargetSpec(name, columns=(column_spec("n", "n", "bigint"),), **options)


def shards(tree: dict[int, int | list[int]], *, roots: tuple[int, ...] = ()) -> list[ListedShard]:
    """A listing from parent → child or children, such as {0: 1, 1: [2, 3]}."""
    parents: dict[int, int] = {}
    for parent, children in tree.items():
        for child in children if isinstance(children, list) else [children]:
            parents[child] = parent
    numbers = sorted({*tree, *parents, *roots})
    return [
        ListedShard(
            shard_name(number),
            shard_name(parents[number]) if number in parents else None,
            closed=number in tree,
        )
        for number in numbers
    ]


def shard_name(number: int) -> str:
    """The id of a shard."""
    return f"shardId-{number:020d}-{number:08x}"


def shard_facts(number: int, *, parent: int | None = None, **facts: Any) -> ShardFacts:
    """A waiting, listed shard; `facts` say what is different."""
    return ShardFacts(
        **{
            "source": "orders",
            "stream_arn": STREAM,
            "shard_id": shard_name(number),
            "parent_id": None if parent is None else shard_name(parent),
            "adjacent_parent_id": None,
            "load": None,
            "state": "waiting",
            "listed": True,
            "owner": None,
            "position": None,
            "known": None,
            "safe_at": None,
            "head_at": None,
            "polled_at": None,
            "gap_accepted_at": None,
            "found_at": NOON - timedelta(minutes=1),
            "done_at": None,
            **facts,
        }
    )


def claim(number: int = 0, **facts: Any) -> Claim:
    """A claim at the beginning of a shard."""
    return Claim(
        **{
            "source": "orders",
            "stream_arn": STREAM,
            "shard_id": shard_name(number),
            "epoch": 1,
            "claim_id": UUID(int=1),
            "position": None,
            "known": None,
            "safe_at": None,
            "found_at": NOON,
            "gap_accepted_at": None,
            "owed": True,
            "ordering": OrderingMode.FENCE,
            "skip_before": None,
            "open_letters": False,
            "snapshot_id": None,
            **facts,
        }
    )
