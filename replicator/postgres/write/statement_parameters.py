"""Parameters of a statement: numbered in its text, and rows as the arrays that it takes."""

from collections.abc import Sequence
from typing import Any

SEPARATOR = "\x1f"
NULL = "\x1e"
SPLIT = "string_to_array(${number}::text, E'\\x1f', E'\\x1e')"


class Parameters:
    """The parameters of one statement; the first `used` are the fence's.

    `joined`: every array of texts comes as one text, as `join_texts` makes it. `kinds` are the
    types of the arrays so far.
    """

    def __init__(self, used: int = 0, *, joined: bool = False) -> None:
        self._used = used
        self._joined = joined
        self.kinds: list[str] = []

    def one(self, kind: str) -> str:
        """A single value of the type."""
        self._used += 1
        return f"${self._used}::{kind}"

    def arrays(self, types: tuple[str, ...]) -> str:
        """An array for each of the types, separated by commas."""
        return ", ".join(self.each(types))

    def each(self, types: tuple[str, ...]) -> list[str]:
        """An array for each of the types."""
        return [self._array(kind) for kind in types]

    def _array(self, kind: str) -> str:
        self.kinds.append(kind)
        if self._joined and kind == "text":
            self._used += 1
            return SPLIT.format(number=self._used)
        return f"{self.one(kind)}[]"


def rows_of(arrays: Sequence[str], names: Sequence[str]) -> str:
    """A select of the arrays' elements side by side; `names` are quoted.

    In FROM, unnest writes every row down before the first is read, a tenth of what a batch costs.
    """
    return "select " + ", ".join(
        [f"unnest({array}) as {name}" for array, name in zip(arrays, names, strict=True)]
    )


def transposed(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as columns; none of none."""
    return [list(column) for column in zip(*rows, strict=True)]


def join_texts(arrays: Sequence[Sequence[Any]], kinds: Sequence[str]) -> list[Any] | None:
    """The arrays, those of texts each as one text; None where a text holds a separator.

    The driver encodes an array element by element, 8 µs for a row of twelve; joining takes one.
    """
    values: list[Any] = []
    for array, kind in zip(arrays, kinds, strict=True):
        value = _joined(array) if kind == "text" else array
        if value is None:
            return None
        values.append(value)
    return values


def _joined(array: Sequence[str | None]) -> str | None:
    texts = [text for text in array if text is not None]
    whole = "".join(texts)
    if SEPARATOR in whole or NULL in whole:
        return None
    if len(texts) < len(array):
        texts = [NULL if text is None else text for text in array]
    return SEPARATOR.join(texts) or None  # the empty text would be split into nothing
