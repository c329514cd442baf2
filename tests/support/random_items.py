"""Seeded items of every DynamoDB type, with a liking for the edges."""

import string
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

Value = dict[str, Any]
Item = dict[str, Value]

NUMBERS = (
    *("0", "-0", "-0.0", "0e10", "1", "-1", "1.5", "-2.5", "1.0", "01", "1e2", "+5", "0.10"),
    "99999999999999999999999999999999999999",
    "-12345678901234567890123456789012345678",
    "0.00000000000000000000000000000000000012345678901234567890123456789012345678",
    *("1E-130", "-1E-130", "9.99E125", "-9.9999999999999999999999999999999999999E125"),
    *("9223372036854775807", "-9223372036854775808", "9223372036854775808", "0.1", "1e-7"),
)
STRINGS = (
    "",
    " ",
    "NULL",
    "null",
    "now",
    "a,b",
    "{a,b}",
    '{"a"}',
    '"',
    '""',
    "\\",
    "\\\\",
    '\\"',
    "\\x41",
    "\\N",
    "\\.",
    "'; drop table orders; --",
    "$1",
    "%s",
    "line\nfeed\r\ttab",
    "\x01\x1f\x7f\x80",
    "ÄÖÜ ß",
    "A\u030a",
    "\u00c5",
    "日本語",
    "🦀🏳️‍🌈",
    "\u202eright to left",
    "\ufeff\uffff",
    '{"json": [1, 2]}',
    "1e5",
    "x" * 3000,
)
BINARIES = (b"", b"\0", b"\\x00", b"\xff\xfe", bytes(range(256)), b"text", b"\xed\xa0\x80")
NAMES = (
    *("a", "A", "ä", "a.b", "a..b", ".", " ", '"', "'", '"; drop table orders; --', "[0]", "a b"),
    *("\\", "{", "}", ",", "$1", ":x", "#n", "data", "extra", "select", "ctid", "日本語", "🦀"),
    *("A\u030a", "\u00c5", "new\nline", "\x01", "n" * 64, "n" * 300),
)
LONG_NAME = "k" * 50_000
"""DynamoDB takes 65,535 bytes; DynamoDB Local fails beyond some 60,000."""
TINY = f"0.{'0' * 129}1"
HUGE = f"999{'0' * 123}"
DEEPEST = 31
"""Levels below a top-level attribute: DynamoDB takes 32 in all."""


class RandomItems:
    """Values drawn from one seed. Every string is storable and every name free of NUL."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def number(self) -> str:
        """An N, half of the time from the edges; forms differ, values fit DynamoDB."""
        if self.random.random() < 0.4:
            return self.random.choice(NUMBERS)
        digits = "".join(self.random.choices(string.digits, k=self.random.randint(1, 38)))
        sign = self.random.choice(("", "-"))
        exponent = self.random.choice((0, 0, -2, -20, -90, 5, 80))
        return f"{sign}{digits}E{exponent}" if exponent else f"{sign}{digits}"

    def money(self) -> str:
        """A number that fits numeric(12,2)."""
        return f"{self.random.randint(-(10**9), 10**9)}.{self.random.randint(0, 99):02d}"

    def string(self) -> str:
        if self.random.random() < 0.5:
            return self.random.choice(STRINGS)
        alphabet = string.printable + 'äß€日🦀{}",\\'
        return "".join(self.random.choices(alphabet, k=self.random.randint(0, 40)))

    def binary(self) -> bytes:
        if self.random.random() < 0.5:
            return self.random.choice(BINARIES)
        return self.random.randbytes(self.random.randint(0, 60))

    def name(self) -> str:
        """An attribute's name; a very long one comes once in a while."""
        chance = self.random.random()
        if chance < 0.001:
            return LONG_NAME
        if chance < 0.5:
            return self.random.choice(NAMES)
        return "".join(self.random.choices(string.ascii_letters, k=self.random.randint(1, 12)))

    def value(self, depth: int = 0) -> Value:
        """Any value; lists and maps get rarer the deeper they are."""
        if self.random.random() < 0.01 and depth == 0:
            return self.nested(DEEPEST)
        makers: list[Callable[[], Value]] = [
            lambda: {"S": self.string()},
            lambda: {"N": self.number()},
            lambda: {"B": self.binary()},
            lambda: {"BOOL": self.random.random() < 0.5},
            lambda: {"NULL": True},
            self.set_of_strings,
            self.set_of_numbers,
            self.set_of_binaries,
        ]
        if self.random.random() < 0.4 / (depth + 1):
            makers = [
                lambda: {"L": [self.value(depth + 1) for _ in range(self.random.randint(0, 4))]},
                lambda: {"M": self.named_values(self.random.randint(0, 4), depth + 1)},
            ]
        return self.random.choice(makers)()

    def nested(self, levels: int) -> Value:
        """Lists and maps in one another, this many levels."""
        value: Value = {"S": self.string()}
        for _ in range(levels):
            value = {"L": [value]} if self.random.random() < 0.5 else {"M": {self.name(): value}}
        return value

    def named_values(self, count: int, depth: int = 0) -> Item:
        return {self.name(): self.value(depth) for _ in range(count)}

    def set_of_strings(self) -> Value:
        return {"SS": sorted({self.string() for _ in range(self.random.randint(1, 5))})}

    def set_of_numbers(self) -> Value:
        """A set in any order; no two texts of one number."""
        numbers = [str(self.random.randint(-1000, 1000)) for _ in range(4)]
        edges = ["1E-130", "9.99E125", "0.1", "123456789012345678901234567890.5"]
        members = list(dict.fromkeys([*numbers, self.random.choice(edges)]))
        self.random.shuffle(members)
        return {"NS": members}

    def set_of_binaries(self) -> Value:
        members = sorted({self.binary() for _ in range(self.random.randint(1, 4))})
        self.random.shuffle(members)
        return {"BS": members}

    def mostly(self, usual: Value, *, changed: float = 0.1) -> Value:
        """`usual`, or now and then a value of any type in its place."""
        return usual if self.random.random() >= changed else self.value()

    def chosen(self, attributes: Mapping[str, Callable[[], Value]], *, share: float) -> Item:
        """Some of the attributes: the others are absent."""
        return {name: make() for name, make in attributes.items() if self.random.random() < share}


def keys(count: int, key: Mapping[str, str], seed: int) -> list[list[Item]]:
    """`count` different keys, each in all the forms that a put takes for one and the same.

    The first is canonical: ministack finds nothing under another.
    """
    random = RandomItems(seed)
    found: dict[tuple[Any, ...], list[Item]] = {}
    while len(found) < count:
        parts = {name: _key_part(random, kind) for name, kind in key.items()}
        identity = tuple(identity for identity, _ in parts.values())
        form_count = max(len(forms) for _, forms in parts.values())
        found[identity] = [
            {name: {key[name]: forms[number % len(forms)]} for name, (_, forms) in parts.items()}
            for number in range(form_count)
        ]
    return list(found.values())


def _key_part(random: RandomItems, kind: str) -> tuple[Any, list[Any]]:
    """A key attribute's identity, and the wire values that mean it."""
    match kind:
        case "S":
            usual = f"key-{random.random.randrange(10**6)}"
            edge = random.random.choice([s for s in STRINGS if 0 < len(s) <= 900])
            chosen = random.random.choice((usual, edge))
            return chosen, [chosen]
        case "N":
            number = random.random.randint(-999, 999)
            if number % 3 == 0:
                edge = random.random.choice((TINY, HUGE, "0.5", "-12345678901234567890"))
                return edge, [edge]
            return number, [str(number), f"{number}.0", f"{number}e0", f"{number}.00"]
        case _:
            raw = random.random.randbytes(random.random.randint(1, 12))
            return raw, [raw]
