"""ISO 8601 durations into intervals of months, days and microseconds. Pure."""

import re

from replicator.core.values.cells import Unfit

_read = re.compile(
    r"(?P<sign>[+-]?)P(?!\Z)(?:(?P<Y>[+-]?\d{1,10})Y)?(?:(?P<M>[+-]?\d{1,10})M)?"
    r"(?:(?P<W>[+-]?\d{1,10})W)?(?:(?P<D>[+-]?\d{1,10})D)?"
    r"(?:T(?!\Z)(?:(?P<h>[+-]?\d{1,10})H)?(?:(?P<m>[+-]?\d{1,12})M)?"
    r"(?:(?P<s>[+-]?\d{1,14})(?:[.,](?P<fraction>\d{1,9}))?S)?)?",
    re.ASCII,
).fullmatch
_MONTHS_MAX = _DAYS_MAX = _HOURS_MAX = 2**31 - 1
_MICROSECONDS = 1_000_000


def interval(text: str) -> str:
    """The duration in one form: each part has a sign of its own, zeros are left out.

    A year is twelve months and a week seven days, as in PostgreSQL; no other unit is
    converted. Unfit for fractions of other parts than seconds, which PostgreSQL would spread.
    """
    found = _read(text)
    if found is None:
        raise Unfit("is not an ISO 8601 duration such as P1DT2H30M; only seconds have a fraction")
    sign = -1 if found["sign"] == "-" else 1
    part = {name: sign * int(found[name] or 0) for name in "YMWDhms"}
    months, days = 12 * part["Y"] + part["M"], 7 * part["W"] + part["D"]
    micros = _MICROSECONDS * (3600 * part["h"] + 60 * part["m"] + part["s"])
    if found["fraction"]:
        negative = (found["s"] or "").startswith("-")
        micros += (-sign if negative else sign) * _fraction(found["fraction"])
    if abs(months) > _MONTHS_MAX or abs(days) > _DAYS_MAX:
        raise Unfit("is outside the range of interval")
    return "P" + (_date(months, days) + _time(micros) or "T0S")


def _fraction(digits: str) -> int:
    if digits[6:].strip("0"):
        raise Unfit("has more than 6 fraction digits")
    return int(digits[:6].ljust(6, "0"))


def _date(months: int, days: int) -> str:
    sign = "-" if months < 0 else ""
    years, months = divmod(abs(months), 12)
    parts = [f"{sign}{years}Y" if years else "", f"{sign}{months}M" if months else ""]
    return "".join(parts) + (f"{days}D" if days else "")


def _time(micros: int) -> str:
    sign = "-" if micros < 0 else ""
    seconds, micros = divmod(abs(micros), _MICROSECONDS)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours > _HOURS_MAX:
        raise Unfit("is outside the range of interval")
    fraction = f".{micros:06}".rstrip("0") if micros else ""
    text = f"{sign}{hours}H" if hours else ""
    text += f"{sign}{minutes}M" if minutes else ""
    text += f"{sign}{seconds}{fraction}S" if seconds or micros else ""
    return f"T{text}" if text else ""
