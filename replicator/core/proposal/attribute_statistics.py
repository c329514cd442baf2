"""Statistics of sampled attributes: how often, of which types, at which times. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from unicodedata import category

from replicator.core.stream_record import Image
from replicator.core.values.by_type.timestamps import time_conversions
from replicator.core.values.canonical_numbers import canonical_number
from replicator.core.values.cells import Unfit
from replicator.core.values.column_options import Fraction, TimeFormat, Transform, Words

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_UNITS: tuple[tuple[TimeFormat, int], ...] = (
    ("epoch_s", 1),
    ("epoch_ms", 1000),
    ("epoch_us", 1_000_000),
    ("epoch_ns", 1_000_000_000),
)
_BOOLEAN_WORDS = (("true", "false"), ("t", "f"), ("y", "n"), ("yes", "no"))
_BOOLEAN_VALUES_MIN = 4
"""Number of values below which two words may be two by chance."""
_TIME_WORDS = (
    *("time", "date", "created", "updated", "modified", "changed", "expire", "ttl", "_at", "_ts"),
    *("timestamp", "placed", "deleted", "since", "until", "at", "ts", "on"),
)
_WHOLE_WORDS_LENGTH = 2  # `at`, `ts` and `on` count as the last word of a name only


_FLAG_WORDS = {
    *("is", "has", "can", "should", "was", "are", "flag", "enabled", "disabled", "active"),
    *("deleted", "verified", "visible", "hidden", "public", "private", "admin", "paid", "done"),
}
_FLAG_ENDS = ("enabled", "disabled", "flag")
_FINER_THAN_MILLISECONDS = re.compile(r"\.[0-9]{4}")
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Guess:
    """The declaration of a column for all sampled values of an attribute of ambiguous types."""

    column_type: str
    format: TimeFormat | None = None
    transform: tuple[Transform, ...] = ()
    fraction: Fraction = "reject"
    words: Words = ()


@dataclass(frozen=True, slots=True)
class AttributeStatistics:
    """One top-level attribute. `present` counts items with the attribute, NULL included."""

    name: str
    present: int
    tags: Mapping[str, int]
    """Number of values by DynamoDB type."""
    longest: int
    """Characters of the longest string, digits of the longest number."""
    whole: bool
    """No number has a fraction."""
    nul: bool
    """Some string holds a NUL character."""
    empty: int
    """Number of empty strings."""
    numeric: int
    """Number of strings in the form of numbers."""
    guess: Guess | None

    @property
    def tag(self) -> str | None:
        """The only type, NULL aside; None when there are several, or none."""
        others = [tag for tag in self.tags if tag != "NULL"]
        return others[0] if len(others) == 1 else None


def attribute_statistics(images: Sequence[Image]) -> list[AttributeStatistics]:
    """Every attribute of the items, the most frequent first."""
    values: dict[str, list[tuple[str, Any]]] = {}
    for image in images:
        for name, value in image.items():
            values.setdefault(name, []).extend(value.items())
    found = [_statistics(name, typed) for name, typed in values.items()]
    return sorted(found, key=lambda statistics: (-statistics.present, statistics.name))


def _statistics(name: str, typed: list[tuple[str, Any]]) -> AttributeStatistics:
    tags = Counter(tag for tag, _ in typed)
    strings = [raw for tag, raw in typed if tag == "S"]
    numbers = [raw for tag, raw in typed if tag == "N"]
    return AttributeStatistics(
        name,
        present=len(typed),
        tags=tags,
        longest=max(map(len, (*strings, *numbers)), default=0),
        whole=all("." not in _canonical(raw) for raw in numbers),
        nul=any("\0" in raw for raw in strings),
        empty=strings.count(""),
        numeric=sum(_PLAIN_NUMBER.fullmatch(raw) is not None for raw in strings),
        guess=_guess(name, tags, strings, numbers),
    )


def _guess(
    name: str, tags: Mapping[str, int], strings: Sequence[str], numbers: Sequence[str]
) -> Guess | None:
    """Declaration that fits every value; an empty string is left out of account, and becomes
    NULL."""
    told = [text for text in strings if text]
    blank: tuple[Transform, ...] = ("empty_null",) if len(told) < len(strings) else ()
    kinds = frozenset(tags) - {"NULL"}
    if kinds == {"S"} and told:
        return _time_of_texts(told, blank) or _boolean(told, blank)
    if kinds == {"N"} and _sounds_like_time(name):
        return _time_of_numbers(numbers)
    if (
        kinds == {"N"}
        and _sounds_like_boolean(name)
        and set(map(_canonical, numbers)) <= {"0", "1"}
    ):
        return Guess("boolean", transform=("boolean",), words=(("0", False), ("1", True)))
    if kinds == {"N", "S"} and all(map(_PLAIN_NUMBER.fullmatch, told)):
        return Guess("numeric", transform=(*blank, "number"))
    return None


def _time_of_texts(texts: Sequence[str], blank: tuple[Transform, ...]) -> Guess | None:
    """A time type that takes all texts.

    A program that prints more than milliseconds may print nine digits the next time: a JVM prints
    three, six or nine, as many as are not zero.
    """
    for column_type in ("timestamptz", "timestamp", "date"):
        if _all_convert(time_conversions(column_type, None, "truncate")["S"], texts):
            finer = column_type != "date" and any(map(_FINER_THAN_MILLISECONDS.search, texts))
            return Guess(column_type, transform=blank, fraction="truncate" if finer else "reject")
    return None


def _time_of_numbers(numbers: Sequence[str]) -> Guess | None:
    for time_format, unit in _UNITS:
        low, high = Decimal(_EARLIEST) * unit, Decimal(_LATEST) * unit
        fits = time_conversions("timestamptz", time_format, "truncate")["N"]
        in_time = all(low <= Decimal(text) < high for text in numbers)
        if in_time and _all_convert(fits, numbers):
            fraction = any("." in _canonical(text) for text in numbers)
            finer = time_format == "epoch_ns" or fraction
            return Guess("timestamptz", time_format, fraction="truncate" if finer else "reject")
    return None


def _boolean(texts: Sequence[str], blank: tuple[Transform, ...]) -> Guess | None:
    """Words for true and false, as in all texts."""
    found = set(texts)
    for yes, no in _BOOLEAN_WORDS:
        for write in (str.lower, str.upper, str.capitalize):
            if found == {write(yes), write(no)} and len(texts) >= _BOOLEAN_VALUES_MIN:
                words = ((write(no), False), (write(yes), True))
                return Guess("boolean", transform=(*blank, "boolean"), words=words)
    return None


def _sounds_like_boolean(name: str) -> bool:
    """A number that is 0 or 1 may be a count: the name of a flag tells."""
    words = snake_case(name).split("_")
    return words[0] in _FLAG_WORDS or words[-1] in _FLAG_WORDS or words[-1].endswith(_FLAG_ENDS)


def _sounds_like_time(name: str) -> bool:
    """A number of the size may be anything; only the name of a time tells."""
    words = snake_case(name)
    last = words.rpartition("_")[2]
    return any(
        word in words if len(word) > _WHOLE_WORDS_LENGTH else word == last for word in _TIME_WORDS
    )


def snake_case(name: str) -> str:
    """`customerName` and `Customer-Name` as `customer_name`; "" where nothing is left.

    Letters of any script stay unchanged.
    """
    out: list[str] = []
    for index, character in enumerate(name):
        after_lower = index > 0 and (name[index - 1].islower() or name[index - 1].isdigit())
        if character.isupper() and after_lower:
            out.append("_")
        mark = category(character).startswith("M")  # a vowel sign belongs to its letter
        usable = character.isalnum() or character == "_" or mark
        out.append(character.lower() if usable else "_")
    return "_".join(filter(None, "".join(out).split("_")))


def _all_convert(convert: Any, texts: Iterable[str]) -> bool:  # noqa: ANN401 (a conversion)
    try:
        for text in texts:
            convert(text)
    except (Unfit, ValueError):
        return False
    return True


def _canonical(raw: str) -> str:
    try:
        return canonical_number(raw)
    except Unfit:
        return "."
