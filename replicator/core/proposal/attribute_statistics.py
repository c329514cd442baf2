"""Statistics of sampled attributes: how often, of which types, at which times. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from replicator.core.records import Image
from replicator.core.values.cells import Unfit
from replicator.core.values.numbers import canonical_number
from replicator.core.values.policies import TimeFormat
from replicator.core.values.timestamps import time_conversions

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_UNITS: tuple[tuple[TimeFormat, int], ...] = (
    ("epoch_s", 1),
    ("epoch_ms", 1000),
    ("epoch_us", 1_000_000),
)
_TIME_WORDS = (
    *("time", "date", "created", "updated", "modified", "changed", "expire", "ttl", "_at", "_ts"),
    *("timestamp", "placed", "deleted", "since", "until", "at", "ts", "on"),
)
_WHOLE_WORDS_LENGTH = 2  # `at`, `ts` and `on` count as the last word of a name only


@dataclass(frozen=True, slots=True)
class TimeGuess:
    """All sampled values are times: the column type that takes them, and how they are written."""

    column_type: str
    format: TimeFormat | None = None


@dataclass(frozen=True, slots=True)
class AttributeStatistics:
    """One top-level attribute. `present` counts items that have it, those with NULL included."""

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
    time: TimeGuess | None

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
    texts = [raw for tag, raw in typed if tag in "SN"]
    numbers = [raw for tag, raw in typed if tag == "N"]
    return AttributeStatistics(
        name,
        present=len(typed),
        tags=tags,
        longest=max(map(len, texts), default=0),
        whole=all("." not in _canonical(raw) for raw in numbers),
        nul=any("\0" in raw for tag, raw in typed if tag == "S"),
        time=_time(name, tags, texts),
    )


def _time(name: str, tags: Mapping[str, int], texts: Sequence[str]) -> TimeGuess | None:
    kinds = set(tags) - {"NULL"}
    if kinds == {"S"}:
        for column_type in ("timestamptz", "timestamp", "date"):
            if _all_convert(time_conversions(column_type, None)["S"], texts):
                return TimeGuess(column_type)
    if kinds == {"N"} and _sounds_like_time(name):
        for time_format, unit in _UNITS:
            low, high = Decimal(_EARLIEST) * unit, Decimal(_LATEST) * unit
            fits = time_conversions("timestamptz", time_format)["N"]
            if all(low <= Decimal(text) < high for text in texts) and _all_convert(fits, texts):
                return TimeGuess("timestamptz", time_format)
    return None


def _sounds_like_time(name: str) -> bool:
    """A number of this size may be anything; only its name tells that it is a time."""
    words = snake_case(name)
    last = words.rpartition("_")[2]
    return any(
        word in words if len(word) > _WHOLE_WORDS_LENGTH else word == last for word in _TIME_WORDS
    )


def snake_case(name: str) -> str:
    """`customerName` and `Customer-Name` as `customer_name`; "" where nothing is left."""
    out: list[str] = []
    for index, character in enumerate(name):
        after_lower = index > 0 and (name[index - 1].islower() or name[index - 1].isdigit())
        if character.isupper() and after_lower:
            out.append("_")
        usable = character.isascii() and (character.isalnum() or character == "_")
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
