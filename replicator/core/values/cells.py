"""Cells: values in PostgreSQL's input syntax, and the functions that make such values. Pure."""

from collections.abc import Callable
from typing import Any

Cell = str | bytes | None
"""A value for PostgreSQL: text in the input syntax, bytes for bytea, None for NULL."""
Conversions = dict[str, Callable[[Any], Cell]]
"""For each DynamoDB type that a column takes, the conversion of a wire value to a cell."""


class Unfit(ValueError):
    """A value does not convert exactly. The reason never quotes the value.

    `inside` is the way from the value that was given to the one at fault, `.name` and `[0]` steps.
    """

    def __init__(self, reason: str, *, inside: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.inside = inside
