"""Values as PostgreSQL takes them, and the functions that make them. Pure."""

from collections.abc import Callable
from typing import Any

Cell = str | bytes | None
"""A value as PostgreSQL takes it: text in its input syntax, bytes for bytea, None for NULL."""
Conversions = dict[str, Callable[[Any], Cell]]
"""For each DynamoDB type that a column takes, how its wire value becomes a cell."""
