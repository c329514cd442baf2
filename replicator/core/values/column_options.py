"""Policies for reading a column's values, as a configuration says them."""

from typing import Literal

OnInvalid = Literal["reject", "null"]
OnNul = Literal["reject", "strip", "replace"]
Transform = Literal["lower", "upper", "trim", "number", "json", "empty_null", "boolean"]
TimeFormat = Literal["iso8601", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "epoch_days"]
Fraction = Literal["reject", "truncate"]
Words = tuple[tuple[str, bool], ...]
"""Words for true and for false."""
