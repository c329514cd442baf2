"""An item's identity: equal exactly where DynamoDB's keys are. Pure."""

import json
from collections.abc import Sequence

from replicator.core.stream_record import Image
from replicator.core.table_spec import SourceKey
from replicator.core.values.canonical_numbers import canonical_number
from replicator.core.values.cells import Unfit
from replicator.core.values.dynamodb_json import label
from replicator.errors import KeyChanged

_encode_key = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def item_key(keys: Image, source_key: SourceKey) -> tuple[str, ...]:
    """The item's identity: equal exactly where DynamoDB's keys are. Never fails.

    An invalid key stands for itself; conversion to a row refuses the key.
    """
    try:
        return tuple(
            [
                keys[name][tag] if tag != "N" else canonical_number(keys[name][tag])
                for name, tag in source_key.attributes
            ]
        )
    except (KeyError, Unfit):
        return tuple([json.dumps(keys.get(name)) for name, _ in source_key.attributes])


def require_key(table: str, found: SourceKey, expected: SourceKey) -> None:
    """KeyChanged where a table that is read has another key than the mapping was made for."""
    if found.attributes != expected.attributes:
        raise _changed(table, ", ".join(map(" ".join, found.attributes)), expected)


def require_keys_alike(table: str, keys: Image, expected: SourceKey) -> None:
    """KeyChanged where the key of an item has more attributes than the mapping knows.

    Several items would share a row. What an item lacks of the key is for the conversion to refuse.
    """
    if len(keys) > len(expected.attributes):
        raise _changed(table, ", ".join(map(label, keys)), expected)


def _changed(table: str, found: str, expected: SourceKey) -> KeyChanged:
    made_for = ", ".join(map(" ".join, expected.attributes))
    message = f"table {table!r} has the key ({found}) now, and its mapping is for ({made_for})"
    return KeyChanged(
        message,
        remedy="run `replicator check`, which says what mapping and targets must be for this key, "
        "then `replicator migrate`, and restart the workers",
    )


def item_keys(images: Sequence[Image], source_key: SourceKey) -> list[tuple[str, ...]]:
    """`item_key` for a sequence of key images."""
    try:
        values = [
            [keys[name][tag] for keys in images]
            if tag != "N"
            else [canonical_number(keys[name][tag]) for keys in images]
            for name, tag in source_key.attributes
        ]
    except (KeyError, Unfit):
        return [item_key(keys, source_key) for keys in images]
    return list(zip(*values, strict=True))


def item_key_json(keys: Image, source_key: SourceKey) -> str:
    """The item's identity as compact DynamoDB JSON in ASCII, names sorted, numbers canonical."""
    canonical = {name: dict(value) for name, value in keys.items()}
    for name, tag in source_key.attributes:
        if tag == "N":
            try:
                canonical[name] = {"N": canonical_number(keys[name]["N"])}
            except (KeyError, Unfit):
                continue
    return _encode_key(canonical)
