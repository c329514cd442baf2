"""The scripted changes of a self-test: every type of DynamoDB, in every kind of change. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

KEY = "pk"
SORT = "sk"
WorkloadItem = Mapping[str, Any]

VALUES: Mapping[str, Any] = {
    "text": {"S": 'Zoë 𝄞 "quoted" \\ line\nbreak'},
    "empty_text": {"S": ""},
    "integer": {"N": "42"},
    "digits": {"N": "-1234567890.1234567890123456789012345678"},
    "large": {"N": "9.9999999999999999999999999999999999999E+125"},
    "small": {"N": "1E-130"},
    "bytes": {"B": b"\x00\x01\xfe\xff"},
    "yes": {"BOOL": True},
    "nothing": {"NULL": True},
    "map": {"M": {"a": {"N": "1.50"}, "b": {"L": [{"S": "x"}, {"M": {}}]}, "c": {"NULL": True}}},
    "empty_map": {"M": {}},
    "list": {"L": [{"N": "3"}, {"S": "three"}, {"L": []}]},
    "texts": {"SS": ["b", "a", "ä"]},
    "numbers": {"NS": ["10", "9.5", "-1"]},
    "binaries": {"BS": [b"\x02", b"\x01"]},
}
"""One attribute of every type, with values at the limits."""


@dataclass(frozen=True, slots=True)
class PutItem:
    """An item is written whole."""

    item: WorkloadItem


@dataclass(frozen=True, slots=True)
class DeleteItem:
    """An item is deleted."""

    key: WorkloadItem


WorkloadChange = PutItem | DeleteItem


def key_of(partition: int, number: int) -> dict[str, Any]:
    """The key of an item."""
    return {KEY: {"S": f"partition-{partition}"}, SORT: {"N": str(number)}}


def changes(items: int) -> Iterator[WorkloadChange]:
    """Changes of so many items, in the order in which they are made.

    Every item is inserted. Of three in a row the first then changes twice, the second is removed,
    the third is removed and inserted again, so that the newest change of an item is one of each
    kind. Ends with items that hold one type each.
    """
    for number in range(items):
        yield PutItem({**key_of(number % 5, number), **VALUES, "revision": {"N": "1"}})
    for number in range(items):
        key = key_of(number % 5, number)
        match number % 3:
            case 0:
                yield PutItem({**key, **VALUES, "revision": {"N": "2"}})
                yield PutItem({**key, "text": {"S": "shorter"}, "revision": {"N": "3"}})
            case 1:
                yield DeleteItem(key)
            case _:
                yield DeleteItem(key)
                yield PutItem({**key, **VALUES, "revision": {"N": "2"}})
    for number, (name, value) in enumerate(VALUES.items()):
        yield PutItem({**key_of(9, number), name: value})


def changed_items(items: int) -> int:
    """Number of changes that `changes(items)` makes."""
    return sum(1 for _ in changes(items))
