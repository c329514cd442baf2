"""Numbers as decimal text: one canonical form, every digit kept."""

import re
from decimal import Decimal
from struct import Struct

from replicator.core.values.cells import Unfit

WHOLE_DIGITS_MAX = 131_072  # of PostgreSQL's numeric, before the point
FRACTION_DIGITS_MAX = 16_383  # and after it
ZEROS_MAX = 400
"""Characters that a number of many may be longer than it is written: the zeros of a short `1e300`.
A double has 324 at most, a number of DynamoDB 129."""

_HALF = Struct("<e")
_SINGLE, _DOUBLE, _DOUBLE_BITS = Struct("<f"), Struct("<d"), Struct("<q")
_SINGLE_DIGITS, _SINGLE_DIGITS_MAX = 6, 9  # so many come back always, and so many are enough
_SMALLEST_HALF = 2.0**-14  # below them digits are lost
_SMALLEST_SINGLE = 2.0**-126
_BELOW_SINGLE, _BETWEEN_SINGLES = (1 << 29) - 1, 1 << 28  # bits of a double that a real lacks
_LENGTH_USUAL_MAX = 40  # 38 digits, sign and point
_is_canonical = re.compile(r"-?(?:[1-9][0-9]*(?:\.[0-9]*[1-9])?|0\.[0-9]*[1-9])|0").fullmatch
_is_number = re.compile(
    r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]{1,9})?"
).fullmatch


def canonical_number(text: str) -> str:
    """The number without exponent, plus, leading or trailing zeros; equal numbers, equal text.

    DynamoDB's own form passes unchanged. Unfit for a text that is no number or too large for
    numeric.
    """
    if len(text) > _LENGTH_USUAL_MAX:
        return _rewritten(text)
    if text.isdigit() and text.isascii() and (text[0] != "0" or text == "0"):
        return text
    return text if _is_canonical(text) else _rewritten(text)


def one_of_many(text: str) -> str:
    """`canonical_number` for one number of a list, a set or a document.

    Unfit for one whose exponent stands for more than ZEROS_MAX zeros: thousands of them in a small
    item would take more memory than a worker has.
    """
    canonical = canonical_number(text)
    if len(canonical) > len(text) + ZEROS_MAX:
        raise Unfit(f"is a number with more than {ZEROS_MAX} zeros, and one of many")
    return canonical


def fits_double(canonical: str) -> bool:
    """True when the shortest text that round-trips the double is the very number."""
    shortest = repr(float(canonical))
    return shortest not in {"inf", "-inf"} and canonical_number(shortest) == canonical


def fits_half(canonical: str) -> bool:
    """True when half precision keeps the number: as the text of the equal double or real.

    PostgreSQL prints a half as the equal real.
    """
    number = float(canonical)
    try:
        half: float = _HALF.unpack(_HALF.pack(number))[0]
        exact = half == number or half == _SINGLE.unpack(_SINGLE.pack(number))[0]
    except OverflowError:
        return False
    if number and abs(number) < _SMALLEST_HALF:
        return False
    return exact and fits_real(canonical)


def fits_real(canonical: str) -> bool:
    """True when `real` keeps the number: as its own shortest text, or as that of the double.

    0.1 is the first; -0.006929283495992422, as JSON prints a real that became a double, the second.
    """
    number = float(canonical)
    try:
        single: float = _SINGLE.unpack(_SINGLE.pack(number))[0]
    except OverflowError:
        return False
    if number and abs(number) < _SMALLEST_SINGLE:
        return False
    if single == number and fits_double(canonical):
        return True
    if _DOUBLE_BITS.unpack(_DOUBLE.pack(number))[0] & _BELOW_SINGLE == _BETWEEN_SINGLES:
        return False  # nobody knows to which side it was rounded before
    shortest = next(
        text
        for digits in range(_SINGLE_DIGITS, _SINGLE_DIGITS_MAX + 1)
        if _SINGLE.pack(float(text := f"{single:.{digits}g}")) == _SINGLE.pack(single)
    )
    return canonical_number(shortest) == canonical


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
