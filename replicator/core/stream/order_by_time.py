"""The order of an item's changes where only creation times tell it, and the ties. Pure.

Theory of operation
-------------------
The problem: Kinesis Data Streams delivers DynamoDB's changes in any order and more than once, and
the records have no sequence number of the table's. Their creation time is the only order there is,
and two changes of one item may have the same one, in milliseconds above all.

The idea: every change turns one image of its item into another, so of two changes of one time the
one whose old image is the other's new image is the later. A version therefore has three parts, as
one number of at most 60 decimal digits: the creation time in microseconds, and a digest of the old
and of the new image, 0 for none. All that compares versions sees what it needs in the number
itself, also PostgreSQL (`postgres/write/version_comparison_sql`), whatever batch or worker brought
the other.

The rules, of two changes of one item:
  * The later time is the later change.
  * Of one time: the one whose old image is the other's new image is the later.
  * Where that says nothing, or both: an insertion is taken for the first, and a removal for the
    last.
  * Where that says nothing either, the one that arrives later is taken for the later one.
  * Equal in all three parts: one change that came twice.
Only the time and one image in common prove an order. Two changes without one are no neighbours, so
that there is a third of their time; two that each begin where the other ends may be the one that
began. Both are counted as undecided: the row may hold an older value until the next change.
Of three and more changes of one time these rules may contradict each other. Where one batch holds
them, the trail of their images orders them (`order_by_images`); only where there is none, or more
than one end, an insertion is first and a removal last, and they are counted.

Broken without it: with the time alone, the second of two changes of one millisecond is taken
for a repetition, and the row stays behind the source.
"""

import json
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import groupby
from typing import Any, TypeVar

import msgspec

from replicator.core.stream.order_by_images import rank, trail_of
from replicator.core.stream_record import Version

SLOT = 10**22
"""Room for one digest: 9 bytes have 22 digits at most."""
TIME = SLOT * SLOT
"""Factor of the time, which has 16 digits until the year 2286."""
_new_digest = blake2b(digest_size=9).copy
"""A digest of nothing yet; a copy takes half of the time that making one does."""
_HISTORY = 10**24
_MIXED = 7919
"""Factors of a history's number: room for the digest, and a prime that keeps (old, new) from (new,
old)."""


class TypedValue(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A value of an item; of one form whatever the order of maps and sets."""

    S: str | msgspec.UnsetType = msgspec.UNSET
    N: str | msgspec.UnsetType = msgspec.UNSET
    B: str | msgspec.UnsetType = msgspec.UNSET
    BOOL: bool | msgspec.UnsetType = msgspec.UNSET
    NULL: bool | msgspec.UnsetType = msgspec.UNSET
    SS: set[str] | msgspec.UnsetType = msgspec.UNSET
    NS: set[str] | msgspec.UnsetType = msgspec.UNSET
    BS: set[str] | msgspec.UnsetType = msgspec.UNSET
    M: "dict[str, TypedValue] | msgspec.UnsetType" = msgspec.UNSET
    L: "list[TypedValue] | msgspec.UnsetType" = msgspec.UNSET


_decode_item = msgspec.json.Decoder(dict[str, TypedValue]).decode
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="deterministic").encode
canonical_image: Callable[[object], bytes] = msgspec.json.Encoder(
    order="deterministic", enc_hook=str.__str__
).encode
"""The JSON of a decoded image, of one form whatever the order of maps and sets was; texts may be of
a type of their own."""
_Change = TypeVar("_Change")


def version_of(micros: int, old_image: memoryview | None, new_image: memoryview | None) -> Version:
    """The version of a change: the creation time and the images that it lies between."""
    old, new = (None if image is None else _canonical(image) for image in (old_image, new_image))
    return version_between(micros, old, new)


def version_between(micros: int, old: bytes | None, new: bytes | None) -> Version:
    """`version_of` for images in the form of `canonical_image`."""
    return Version((micros * SLOT + _digest(old)) * SLOT + _digest(new))


def micros_of(version: Version) -> int:
    """The creation time in a version."""
    return version // TIME


def history_number(version: Version) -> int:
    """The number that tells the changes of an item apart in a history, of 40 digits at most.

    A sequence number stands for itself; of a version with a time it is the time and a digest.
    """
    if version < TIME:
        return version
    old, new = _images(version)
    return version // TIME * _HISTORY + (old * _MIXED + new) % _HISTORY


def later(one: Version, other: Version) -> bool | None:
    """True where `one` is the later of two changes of an item, None where nothing decides it.

    Equal versions are one change, and not later.
    """
    if one // TIME != other // TIME or one == other:
        return one > other
    old, new = _images(one)
    other_old, other_new = _images(other)
    follows, precedes = old == other_new, new == other_old
    if follows != precedes:
        return follows
    place, other_place = rank(old, new), rank(other_old, other_new)
    return None if place == other_place else place > other_place


def in_order(changes: Sequence[tuple[Version, _Change]]) -> tuple[list[_Change], int]:
    """Changes of one item, given in the order of the arrival, oldest first; and how many of them
    follow one to which nothing decides the order.
    """
    ordered: list[_Change] = []
    undecided = 0
    state: int | None = None
    by_time = sorted(changes, key=_time_of)
    for _, group in groupby(by_time, key=_time_of):
        tied = list(group)
        alike: dict[Version, list[_Change]] = {}
        for version, change in tied:
            alike.setdefault(version, []).append(change)
        steps = [_images(version) for version in alike]
        trail = trail_of(steps, before=state, repeated=len(alike) < len(tied))
        same = list(alike.values())
        ordered += [change for place in trail.places for change in same[place]]
        undecided += trail.undecided
        state = trail.end
    return ordered, undecided


def _time_of(change: tuple[Version, object]) -> int:
    return micros_of(change[0])


def _images(version: Version) -> tuple[int, int]:
    return version // SLOT % SLOT, version % SLOT


def _digest(canonical: bytes | None) -> int:
    """A digest of an image, 0 without one."""
    if canonical is None:
        return 0
    digest = _new_digest()
    digest.update(canonical)
    return int.from_bytes(digest.digest(), "big") or 1


def _canonical(image: memoryview) -> bytes:
    try:
        return _encode(_decode_item(image))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _canonical_untyped(bytes(image))


def _canonical_untyped(raw: bytes) -> bytes:
    """The form of what is no item, which planning rejects."""
    try:
        value = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _canonical_tolerantly(raw)
    return _encode(_with_sorted_sets(value))


def _canonical_tolerantly(raw: bytes) -> bytes:
    """The form of an image with lone surrogates; what is no JSON at all stands for itself."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return raw
    return json.dumps(_with_sorted_sets(value), sort_keys=True, separators=(",", ":")).encode()


def _with_sorted_sets(value: Any) -> Any:  # noqa: ANN401 (inside an image anything may stand)
    match value:
        case dict():
            return {
                name: sorted(member)
                if name in {"SS", "NS", "BS"}
                and isinstance(member, list)
                and all(isinstance(each, str) for each in member)
                else _with_sorted_sets(member)
                for name, member in value.items()
            }
        case list():
            return [_with_sorted_sets(each) for each in value]
        case _:
            return value
