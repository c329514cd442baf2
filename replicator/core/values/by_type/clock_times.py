"""Times of day into `time` and `timetz`, and the fraction digits that a type keeps. Pure."""

import re
from collections.abc import Callable

from replicator.core.values.cells import Cell, Unfit

CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
OFFSET = r"(?:Z|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?)"  # PostgreSQL knows none beyond 15:59
_is_time = re.compile(CLOCK).fullmatch
_is_timetz = re.compile(CLOCK + OFFSET).fullmatch
_zeros_beyond = re.compile(r"(?<=\.[0-9]{6})0{1,3}(?![0-9])")
_long_fraction = re.compile(r"\.[0-9]{7}").search
_fraction = re.compile(r"\.([0-9]*[1-9])").search


def time(text: str) -> str:
    """A time of day without a zone."""
    text = _zeros_beyond.sub("", text)
    if not _is_time(text):
        fault = "has a zone, time has none" if _is_timetz(text) else None
        raise _fault(text, fault, "23:59:59.999999")
    return text


def timetz(text: str) -> str:
    """A time of day with the offset, which is kept."""
    text = _zeros_beyond.sub("", text)
    if not _is_timetz(text):
        fault = "has no zone" if _is_time(text) else None
        raise _fault(text, fault, "23:59:59.999999+02:00")
    return text


def at_most_digits(convert: Callable[[str], Cell], digits: int) -> Callable[[str], Cell]:
    """The conversion for a type that keeps so many digits of a second: more are not rounded."""

    def convert_short(raw: str) -> Cell:
        cell = convert(raw)
        found = _fraction(cell) if isinstance(cell, str) else None
        if found is not None and len(found[1]) > digits:
            raise Unfit(f"has more than {digits} fraction digits")
        return cell

    return convert_short


def _fault(text: str, fault: str | None, example: str) -> Unfit:
    if fault is None and _long_fraction(text):
        return Unfit("has more than 6 fraction digits")
    return Unfit(fault or f"is not an ISO 8601 time of day such as {example}")
