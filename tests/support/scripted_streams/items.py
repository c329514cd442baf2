"""Items as DynamoDB keeps them: canonical values, and the order in which a scan meets them."""

import base64
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from decimal import Context
from hashlib import blake2b
from typing import Any

Value = dict[str, Any]
Item = dict[str, Value]
Key = tuple[str, ...]

HASH_SPACE = 2**64
_NUMBER = Context(prec=38, Emax=130, Emin=-135)
_PLAIN_DIGITS = 40
_MEASURED_MAX = 1000


def canonical(item: Mapping[str, Value]) -> Item:
    """The item as the service would return it: numbers normalised, sets sorted, bytes in base64."""
    return {name: _canonical_value(value) for name, value in item.items()}


def key_of(item: Mapping[str, Value], names: tuple[str, ...]) -> Key:
    """What tells an item from others: the text of its key attributes, hash key first."""
    return tuple(str(next(iter(item[name].values()))) for name in names)


def hash_of(key: Key) -> int:
    """Where the item's hash key lies in [0, HASH_SPACE)."""
    return int.from_bytes(blake2b(key[0].encode(), digest_size=8).digest())


def size_bytes(item: Mapping[str, Value] | None) -> int:
    """About what the service counts: names and values, not their encoding."""
    return sum(len(name.encode()) + _value_size(value) for name, value in (item or {}).items())


class Items:
    """A table's items; a scan meets them by hash of the hash key, then by key."""

    def __init__(self, key_names: tuple[str, ...]) -> None:
        self._key_names = key_names
        self._items: dict[Key, Item] = {}
        self._order: list[tuple[int, Key]] = []

    def __len__(self) -> int:
        return len(self._items)

    def all(self) -> list[Item]:
        return [self._items[key] for _, key in self._order]

    def size_bytes(self) -> int:
        """About the sum of all sizes: of a large table it is told from the first ones."""
        first = self._order[:_MEASURED_MAX]
        measured = sum(size_bytes(self._items[key]) for _, key in first)
        return measured * len(self._items) // max(1, len(first))

    def get(self, item: Mapping[str, Value]) -> Item | None:
        """The item with the same key, if there is one."""
        return self._items.get(key_of(item, self._key_names))

    def fold(self, keys: Mapping[str, Value], new: Item | None) -> None:
        """Make `new` the item of that key; None removes it."""
        key = key_of(keys, self._key_names)
        place = (hash_of(key), key)
        if new is None:
            if self._items.pop(key, None) is not None:
                del self._order[bisect_left(self._order, place)]
            return
        if key not in self._items:
            insort(self._order, place)
        self._items[key] = new

    def load(self, items: Iterable[Item]) -> None:
        """Make these the items, in canonical form already: for tables that are large."""
        self._items = {key_of(item, self._key_names): item for item in items}
        self._order = sorted((hash_of(key), key) for key in self._items)

    def clear(self) -> None:
        self._items.clear()
        self._order.clear()

    def scan(
        self, *, segment: int, segments: int, after: Mapping[str, Value] | None
    ) -> Iterator[Item]:
        """The items of one segment behind `after`, which need not exist any more."""
        start = bisect_left(self._order, (HASH_SPACE * segment // segments, ()))
        end = bisect_left(self._order, (HASH_SPACE * (segment + 1) // segments, ()))
        if after is not None:
            key = key_of(after, self._key_names)
            start = max(start, bisect_right(self._order, (hash_of(key), key)))
        for _, key in self._order[start:end]:
            yield self._items[key]


def _canonical_value(value: Value) -> Value:
    kind, content = next(iter(value.items()))
    match kind:
        case "N":
            return {kind: _number(content)}
        case "B":
            return {kind: _base64(content)}
        case "NS":
            return {kind: sorted(map(_number, content))}
        case "BS":
            return {kind: sorted(map(_base64, content))}
        case "SS":
            return {kind: sorted(content)}
        case "M":
            return {kind: canonical(content)}
        case "L":
            return {kind: [_canonical_value(element) for element in content]}
        case _:
            return {kind: content}


def _number(text: str) -> str:
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= 38:
        return text
    number = _NUMBER.create_decimal(text).normalize(_NUMBER)
    if not number:
        return "0"
    return f"{number:f}" if abs(number.adjusted()) <= _PLAIN_DIGITS else str(number)


def _base64(content: str | bytes) -> str:
    return content if isinstance(content, str) else base64.b64encode(content).decode()


def _value_size(value: Value) -> int:
    kind, content = next(iter(value.items()))
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return len(content) // 2 + 2
        case "B":
            return len(content) * 3 // 4
        case "M":
            return 3 + size_bytes(content)
        case "L":
            return 3 + sum(1 + _value_size(element) for element in content)
        case "SS" | "NS" | "BS":
            return sum(map(len, content))
        case _:
            return 1
