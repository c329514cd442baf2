"""Finds keys seen on one side only, in memory that does not grow with the table. Pure."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from replicator.core.values.row_builder import Row

BITS_MIN, BITS_MAX = 10, 22
"""At most 4 million buckets, which are 32 MB."""
MASK_64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class KeyBuckets:
    """Some of the buckets that keys fall into: one bit for each, lowest first."""

    bitmap: bytes
    mask: int
    """Bits of a key's hash that are the number of the bucket."""

    @classmethod
    def sampled(cls, share: float, random: Random) -> "KeyBuckets":
        """About the share of all keys, by chance."""
        count = 1 << BITS_MIN + 4
        chosen = random.sample(range(count), max(1, round(count * min(share, 1.0))))
        return cls(_bitmap(chosen, count), count - 1)


@dataclass(frozen=True, slots=True)
class KeyPage:
    """Some rows in the order of the keys; `last` is where the next page begins, None at the end.

    `keys` has those that were asked for, `hashes` all of them when none was.
    """

    hashes: list[int]
    keys: list[Row]
    last: Row | None


class KeySketch:
    """Buckets that hold the exclusive or of the hashes of the keys in them.

    What is added twice leaves no trace: after every key was added once for each side that has it,
    a bucket that is not zero holds a key that only one side has. Two such keys hide each other
    with a chance of 2**-64.
    """

    def __init__(self, keys_expected: int) -> None:
        self.bits = max(BITS_MIN, min(BITS_MAX, keys_expected.bit_length()))
        self._mask = (1 << self.bits) - 1
        self._buckets = array("Q", bytes(8 << self.bits))

    def add(self, key_hash: int) -> None:
        """A key of one side; hashes are signed numbers of 64 bits."""
        self._buckets[key_hash & self._mask] ^= key_hash & MASK_64

    def dirty(self) -> KeyBuckets | None:
        """The buckets that are not zero, or None when all are."""
        numbers = [number for number, bucket in enumerate(self._buckets) if bucket]
        if not numbers:
            return None
        return KeyBuckets(_bitmap(numbers, len(self._buckets)), self._mask)


def _bitmap(numbers: Iterable[int], count: int) -> bytes:
    bitmap = bytearray(count + 7 >> 3)
    for number in numbers:
        bitmap[number >> 3] |= 1 << (number & 7)
    return bytes(bitmap)
