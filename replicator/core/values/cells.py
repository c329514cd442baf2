"""Cells: values as PostgreSQL takes them, and the functions that make them. Pure."""

from collections.abc import Callable
from typing import Any

Cell = str | bytes | None
"""A value as PostgreSQL takes it: text in the input syntax, bytes for bytea, None for NULL."""
Conversions = dict[str, Callable[[Any], Cell]]
"""For each DynamoDB type that a column takes, how its wire value becomes a cell."""


class Unfit(ValueError):
    """A value does not convert exactly. The reason never quotes the value.

    `inside` is the way from the value that was given to the one at fault, `.name` and `[0]` steps.
    """

    def __init__(self, reason: str, *, inside: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.inside = inside
