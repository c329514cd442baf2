"""Points in time by declared format only: exact to the microsecond, or refused."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from replicator.core.values.cells import Unfit
from replicator.core.values.numbers import canonical_number
from replicator.core.values.policies import TimeFormat

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (the zone is appended as text)
_DAY_MICROSECONDS = 86_400_000_000
_FRACTION_DIGITS = {"epoch_s": 6, "epoch_ms": 3, "epoch_us": 0}
_WHOLE_LENGTH_MAX = 20  # of microseconds until the year 9999, generously
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
_ZONE = r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
_is_zoned = re.compile(_DATE.pattern + _CLOCK + _ZONE).fullmatch
_is_zoneless = re.compile(_DATE.pattern + _CLOCK).fullmatch
_long_fraction = re.compile(r"\.[0-9]{7}").search

Conversion = Callable[[str], str]


def time_conversions(type_name: str, time_format: TimeFormat | None) -> dict[str, Conversion]:
    """Conversions of a time type by DynamoDB type, under the declared format; they return text.

    S is read as ISO 8601 (extended form), N as time since 1970 in the unit that the format names.
    An instant goes into timestamp and date by its UTC clock, into date only if it is midnight.
    """
    if time_format is None or time_format == "iso8601":
        return {"S": _ISO[type_name]}
    digits = _FRACTION_DIGITS[time_format]
    finish = _EPOCH_TEXT[type_name]
    return {"N": lambda raw: finish(_microseconds(raw, digits))}


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


def _microseconds(raw: str, digits: int) -> int:
    whole, _, fraction = canonical_number(raw).partition(".")
    if len(fraction) > digits:
        raise Unfit("is more precise than a microsecond")
    if len(whole) > _WHOLE_LENGTH_MAX:
        raise Unfit("is outside the years 1 to 9999")
    return int(whole + fraction.ljust(digits, "0"))


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
