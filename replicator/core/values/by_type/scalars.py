"""Single values into cells: texts, numbers, booleans and UUIDs, exact or Unfit. Pure."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from replicator.core.values.canonical_numbers import canonical_number, fits_double, fits_real
from replicator.core.values.cells import Cell, Conversions, Unfit
from replicator.core.values.column_options import OnNul
from replicator.core.values.dynamodb_json import TYPES, storable_text
from replicator.core.values.json_text import json_text

_is_uuid = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch


def text_conversions(nul: OnNul, length_max: int | None = None) -> Conversions:
    """Strings, and what has one text only; of so many characters at most."""
    conversions: Conversions = {
        "S": storable_text if nul == "reject" else partial(storable_text, nul=nul),
        "N": canonical_number,
        "BOOL": boolean,
    }
    if length_max is None:
        return conversions
    return {tag: _at_most(length_max, convert) for tag, convert in conversions.items()}


def padded_text_conversions(nul: OnNul, length: int) -> Conversions:
    """Texts of so many characters at most, none of which ends in what the type pads with."""
    conversions = text_conversions(nul, length)
    return {tag: _unpadded(convert) for tag, convert in conversions.items()}


def json_conversions(nul: OnNul) -> Conversions:
    """Any value as JSON text."""
    return {tag: partial(_json, tag, nul) for tag in TYPES}


def numeric(precision: int | None = None, scale: int = 0) -> Callable[[str], str]:
    """Numbers of so many digits, `scale` of them behind the point; without bounds all."""
    if precision is None:
        return canonical_number
    whole_max = precision - scale

    def convert(raw: str) -> str:
        text = canonical_number(raw)
        whole, _, fraction = text.partition(".")
        if len(fraction) > scale:
            raise Unfit(f"has more than {scale} fraction digits")
        if len(whole) > whole_max and len(whole.lstrip("-0")) > whole_max:
            raise Unfit(f"has more than {whole_max} digits before the point")
        return text

    return convert


def integer(name: str, bits: int) -> Callable[[str], str]:
    """Integers of so many bits."""
    limit = 1 << (bits - 1)
    safe = len(str(limit)) - 1  # so few digits always fit

    def convert(raw: str) -> str:
        text = canonical_number(raw)
        if "." in text:
            raise Unfit("is not an integer")
        if len(text) > safe and (len(text) > safe + 2 or not -limit <= int(text) < limit):
            raise Unfit(f"is outside the range of {name}")
        return text

    return convert


def double(raw: str) -> str:
    """A number that double precision gives back digit by digit."""
    text = canonical_number(raw)
    if not fits_double(text):
        raise Unfit("has more digits than double precision keeps")
    return text


def real(raw: str) -> str:
    """A number that real gives back digit by digit, or as the double that the source had."""
    text = canonical_number(raw)
    if not fits_real(text):
        raise Unfit("has more digits than real keeps")
    return text


def boolean(raw: bool) -> str:
    """`true` or `false`."""
    if type(raw) is not bool:
        raise TypeError
    return "true" if raw else "false"


def uuid(raw: str, *, key: bool) -> str:
    """A UUID in lower case; a key must be written so, as two texts for one make one row of two."""
    if not _is_uuid(raw):
        raise Unfit("is not a UUID of 32 hexadecimal digits with four hyphens")
    if key and raw != raw.lower():
        raise Unfit("is a UUID with capitals; as a key they could make two items one row")
    return raw.lower()


def _at_most(length_max: int, convert: Callable[[Any], Cell]) -> Callable[[Any], Cell]:
    def convert_short(raw: Any) -> Cell:  # noqa: ANN401 (a wire value)
        text = convert(raw)
        if text is not None and len(text) > length_max:
            raise Unfit(f"has more than {length_max} characters")
        return text

    return convert_short


def _unpadded(convert: Callable[[Any], Cell]) -> Callable[[Any], Cell]:
    def convert_unpadded(raw: Any) -> Cell:  # noqa: ANN401 (a wire value)
        text = convert(raw)
        if isinstance(text, str) and text.endswith(" "):
            raise Unfit("ends in a space, which char(n) cannot tell from its padding")
        return text

    return convert_unpadded


def _json(tag: str, nul: OnNul, raw: object) -> str:
    return json_text({tag: raw}, nul)
