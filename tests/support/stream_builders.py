"""Items, records and ready-made pages for scripted streams."""

from collections.abc import Iterator
from typing import Any

from tests.support.scripted_streams.records import Change, wire_record
from tests.support.scripted_streams.shards import sequence_number

LOAD_EPOCH = 1_760_000_000


def item(pk: str, **attributes: Any) -> dict[str, dict[str, Any]]:
    """An item in DynamoDB JSON: text becomes S, numbers N, booleans BOOL, None NULL, bytes B."""
    return {"pk": {"S": pk}} | {name: typed(value) for name, value in attributes.items()}


def typed(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case bytes():
            return {"B": value}
        case None:
            return {"NULL": True}
        case dict():
            return {"M": {name: typed(inner) for name, inner in value.items()}}
        case list():
            return {"L": [typed(inner) for inner in value]}
        case _:
            raise TypeError(f"no DynamoDB type for {type(value).__name__}")


def record_pages(
    pages: int,
    *,
    records: int = 1000,
    keys: int = 10_000,
    payload_bytes: int = 100,
    shard: int = 0,
    created_at: float = LOAD_EPOCH,
    first: int = 0,
) -> Iterator[bytes]:
    """JSON arrays of INSERT records for load_pages; `keys` different keys come round and round.

    The sequence numbers are those of a shard with this number and go on behind the record `first`.
    `payload_bytes` is the length of a text attribute of every item.
    """
    padding = "x" * payload_bytes
    for page in range(pages):
        start = first + page * records
        yield (
            b"["
            + b",".join(
                _load_record(count, shard, keys, padding, created_at)
                for count in range(start, start + records)
            )
            + b"]"
        )


def _load_record(count: int, shard: int, keys: int, padding: str, created_at: float) -> bytes:
    new = item(f"s{shard}-key-{count % keys:08d}", n=count, payload=padding)
    return wire_record(
        Change({"pk": new["pk"]}, None, new, created_at),
        sequence_number=sequence_number(shard, count + 2),
        view="NEW_AND_OLD_IMAGES",
        region="us-east-1",
        shard_id=str(shard),
    )
