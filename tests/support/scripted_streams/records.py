"""Stream records in the form AWS sends them."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from tests.support.scripted_streams.items import Item, Value, size_bytes

EXPIRY_IDENTITY = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one item; `created_at` is epoch seconds, None leaves the time out.

    `event` overrides the name that follows from the images; `extra` and `extra_dynamodb` are laid
    over the record and over its `dynamodb` part, a None there removes the field.
    """

    keys: Mapping[str, Value]
    old: Item | None
    new: Item | None
    created_at: float | None
    event: str | None = None
    expired: bool = False
    extra: Mapping[str, Any] | None = None
    extra_dynamodb: Mapping[str, Any] | None = None


def wire_record(
    change: Change, *, sequence_number: int, view: str, region: str, shard_id: str
) -> bytes:
    """The JSON of one record as GetRecords returns it."""
    number = f"{sequence_number:021d}"
    part: dict[str, Any] = {}
    if change.created_at is not None:
        part["ApproximateCreationDateTime"] = int(change.created_at)
    part["Keys"] = change.keys
    images: list[Item | None] = []
    if change.new is not None and view in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES"):
        part["NewImage"] = change.new
        images.append(change.new)
    if change.old is not None and view in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES"):
        part["OldImage"] = change.old
        images.append(change.old)
    part["SequenceNumber"] = number
    part["SizeBytes"] = size_bytes(change.keys) + sum(map(size_bytes, images))
    part["StreamViewType"] = view
    record: dict[str, Any] = {
        "eventID": blake2b(f"{shard_id}/{number}".encode(), digest_size=16).hexdigest(),
        "eventName": change.event or _event_name(change),
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": region,
        "dynamodb": _overlaid(part, change.extra_dynamodb),
    }
    if change.expired:
        record["userIdentity"] = EXPIRY_IDENTITY
    return orjson.dumps(_overlaid(record, change.extra))


def _event_name(change: Change) -> str:
    if change.new is None:
        return "REMOVE"
    return "INSERT" if change.old is None else "MODIFY"


def _overlaid(fields: dict[str, Any], extra: Mapping[str, Any] | None) -> dict[str, Any]:
    if not extra:
        return fields
    return {name: value for name, value in (fields | dict(extra)).items() if value is not None}
