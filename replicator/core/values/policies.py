"""How a column's values are read, as a configuration says it."""

from typing import Literal

OnInvalid = Literal["reject", "null"]
OnNul = Literal["reject", "strip", "replace"]
Transform = Literal["lower", "upper", "trim", "number", "json"]
TimeFormat = Literal["iso8601", "epoch_s", "epoch_ms", "epoch_us"]
