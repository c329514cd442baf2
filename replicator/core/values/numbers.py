"""Numbers as decimal text: one canonical form, every digit kept."""

import re
from decimal import Decimal

from replicator.core.values.cells import Unfit

WHOLE_DIGITS_MAX = 131_072  # of PostgreSQL's numeric, before the point
FRACTION_DIGITS_MAX = 16_383  # and after it

_LENGTH_USUAL_MAX = 40  # 38 digits, sign and point
_is_canonical = re.compile(r"-?(?:[1-9][0-9]*(?:\.[0-9]*[1-9])?|0\.[0-9]*[1-9])|0").fullmatch
_is_number = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?").fullmatch


def canonical_number(text: str) -> str:
    """The number without exponent, plus, leading or trailing zeros; equal numbers, equal text.

    DynamoDB's own form passes as it is. Unfit for what is no number or too large for numeric.
    """
    if len(text) > _LENGTH_USUAL_MAX:
        return _rewritten(text)
    if text.isdigit() and text.isascii() and (text[0] != "0" or text == "0"):
        return text
    return text if _is_canonical(text) else _rewritten(text)


def fits_double(canonical: str) -> bool:
    """Whether the shortest text that round-trips a double is this very number."""
    shortest = repr(float(canonical))
    return shortest not in {"inf", "-inf"} and canonical_number(shortest) == canonical


def _rewritten(text: str) -> str:
    if not _is_number(text):
        raise Unfit("is not a number")
    number = Decimal(text)  # exact: the constructor knows no precision
    if not number:
        return "0"
    if not -FRACTION_DIGITS_MAX <= number.adjusted() < WHOLE_DIGITS_MAX:
        raise Unfit("is a number beyond what numeric holds")
    plain = format(number, "f")
    if "." not in plain:
        return plain
    plain = plain.rstrip("0").rstrip(".")
    if len(plain.partition(".")[2]) > FRACTION_DIGITS_MAX:
        raise Unfit("is a number beyond what numeric holds")
    return plain
