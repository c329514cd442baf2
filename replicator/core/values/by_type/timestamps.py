"""Points in time by declared format only: exact to the microsecond, refused, or cut if declared.

A time that is written with seven to nine digits of a second (Java's Instant, Go's RFC3339Nano,
.NET's "O") is exact where the digits beyond the sixth are zeros. Others lose something, which
`fraction: truncate` declares: a time is then cut towards the past, and to as many digits as its
column keeps.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial

from replicator.core.values.canonical_numbers import canonical_number
from replicator.core.values.cells import Unfit
from replicator.core.values.column_options import Fraction, TimeFormat

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (the zone is appended as text)
_DAY_MICROSECONDS = 86_400_000_000
_FRACTION_DIGITS = {"epoch_s": 6, "epoch_ms": 3, "epoch_us": 0, "epoch_ns": -3}
_WHOLE_LENGTH_MAX = 20  # of microseconds until the year 9999, generously
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
_ZONE = r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
_is_zoned = re.compile(_DATE.pattern + _CLOCK + _ZONE).fullmatch
_is_zoneless = re.compile(_DATE.pattern + _CLOCK).fullmatch
_long_fraction = re.compile(r"\.[0-9]{7}").search

Conversion = Callable[[str], str]


def time_conversions(
    type_name: str,
    time_format: TimeFormat | None,
    fraction: Fraction = "reject",
    *,
    digits: int = 6,
) -> dict[str, Conversion]:
    """Conversions of a time type by DynamoDB type, under the declared format; they return text.

    S is read as ISO 8601 (extended form), N as time since 1970 in the unit that the format names.
    An instant goes into timestamp and date by its UTC clock, into date only if it is midnight.
    `fraction` decides on what is finer than the type's `digits` of a second.
    """
    if time_format is None or time_format == "iso8601":
        convert = _ISO[type_name]
        cut = partial(beyond(fraction, digits).sub, "")
        return {"S": convert if type_name == "date" else lambda text: convert(cut(text))}
    finish = _EPOCH_TEXT[type_name]
    if time_format == "epoch_days":
        return {"N": lambda raw: finish(_whole_days(raw) * _DAY_MICROSECONDS)}
    scale = _FRACTION_DIGITS[time_format]
    coarser = 6 - digits if fraction == "truncate" else 0

    def of_number(raw: str) -> str:
        return finish(_microseconds(raw, scale - coarser, fraction) * 10**coarser)

    return {"N": of_number}


@cache
def beyond(fraction: Fraction, digits: int = 6) -> re.Pattern[str]:
    """Digits that may be cut from a time: zeros beyond the microsecond, or all beyond so many
    digits."""
    if fraction == "reject":
        return re.compile(r"(?<=\.[0-9]{6})0{1,3}(?![0-9])")
    kept = rf"(?<=\.[0-9]{{{digits}}})" if digits else r"\."
    return re.compile(rf"{kept}[0-9]{{1,{9 - digits}}}(?![0-9])")


def _iso_timestamptz(text: str) -> str:
    if not _is_zoned(text):
        raise _iso_fault(text, "has no zone" if _is_zoneless(text) else None)
    moment = _moment(text)
    if text[-1] == "Z":
        return text
    try:
        return moment.astimezone(UTC).isoformat()  # PostgreSQL knows no zone beyond 15:59
    except OverflowError as error:
        raise Unfit("is outside the years 1 to 9999") from error


def _iso_timestamp(text: str) -> str:
    if not _is_zoneless(text):
        raise _iso_fault(text, "has a zone, timestamp has none" if _is_zoned(text) else None)
    _moment(text)
    return text


def _iso_date(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise Unfit("is not an ISO 8601 date such as 2024-02-29")
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise Unfit("is not a day of the calendar") from error


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise Unfit("is not a time of the calendar, years 1 to 9999") from error


def _iso_fault(text: str, zone_fault: str | None) -> Unfit:
    if zone_fault is None and _long_fraction(text):
        return Unfit("has more than 6 fraction digits")
    return Unfit(zone_fault or "is not an ISO 8601 time such as 2024-02-29T23:59:59.999999Z")


def _microseconds(raw: str, digits: int, fraction: Fraction) -> int:
    """The number times 10**digits, cut to a whole number where that is declared."""
    whole, _, decimals = canonical_number(raw).partition(".")
    if len(whole) > _WHOLE_LENGTH_MAX:
        raise Unfit("is outside the years 1 to 9999")
    finer = len(decimals) - digits
    found: int = int(whole + decimals) * 10 ** max(0, -finer)
    if finer <= 0:
        return found
    cut, rest = divmod(found, int(10**finer))
    if rest and fraction == "reject":
        raise Unfit("is more precise than a microsecond")
    return cut


def _whole_days(raw: str) -> int:
    text = canonical_number(raw)
    if "." in text:
        raise Unfit("is not a whole number of days")
    if len(text) > _WHOLE_LENGTH_MAX:
        raise Unfit("is outside the years 1 to 9999")
    return int(text)


def _epoch_timestamp(microseconds: int) -> str:
    try:
        return (_EPOCH + timedelta(microseconds=microseconds)).isoformat()
    except OverflowError as error:
        raise Unfit("is outside the years 1 to 9999") from error


def _epoch_timestamptz(microseconds: int) -> str:
    return _epoch_timestamp(microseconds) + "+00:00"


def _epoch_date(microseconds: int) -> str:
    if microseconds % _DAY_MICROSECONDS:
        raise Unfit("is not midnight UTC, a date cannot hold it")
    return _epoch_timestamp(microseconds)[:10]


_ISO = {"timestamptz": _iso_timestamptz, "timestamp": _iso_timestamp, "date": _iso_date}
_EPOCH_TEXT = {
    "timestamptz": _epoch_timestamptz,
    "timestamp": _epoch_timestamp,
    "date": _epoch_date,
}
