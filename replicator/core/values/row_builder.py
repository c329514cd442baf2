"""An item's row, cell by cell: each value by the converter of its column. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from replicator.core.stream_record import AttributeValue, Image
from replicator.core.values.cells import Cell
from replicator.core.values.columnar_cells import Usual
from replicator.core.values.converters import Converter
from replicator.errors import ValueRejected

Untaken = Callable[[Iterable[str]], list[str]]
"""The names that no column takes whole."""
Row = tuple[Cell, ...]
RowOf = Callable[[Image, Image], Row]
"""From an item's keys and image to the cells of a row; ValueRejected."""
TriedRow = Callable[[Image, Image], list[Cell | ValueRejected]]
"""Cells of a row, each tried for itself: a cell that does not convert stands as the reason."""
RestOf = Callable[[Image], str]
"""From an image to the cell of what no column takes; ValueRejected."""


@dataclass(frozen=True, slots=True)
class Step:
    """One cell of a row: where the value is, and who converts it.

    `usual` None: nothing is known of what the converter does. `hide`, of which only the usual value
    knows nothing, takes personal data out of a value.
    """

    attribute: str
    convert: Converter
    usual: Usual | None = None
    of_key: bool = False
    hide: Callable[[AttributeValue], AttributeValue | None] | None = None


def row_by_steps(steps: Sequence[Step], *, rest_of: RestOf | None, tail: Row) -> RowOf:
    """A function that makes rows: the cells of the steps, of the rest where there is one, the tail.

    It makes every row, and says of every image that makes none why: all columns that reject.
    """
    tried = tried_by_steps(steps, rest_of=rest_of)

    def row(keys: Image, image: Image) -> Row:
        try:
            cells = [
                step.convert((keys if step.of_key else image).get(step.attribute)) for step in steps
            ]
            if rest_of is not None:
                cells.append(rest_of(image))
        except ValueRejected as error:
            rejected = [cell for cell in tried(keys, image) if isinstance(cell, ValueRejected)]
            first, *others = _one_of_each_attribute(rejected)
            raise (first.with_others(others) if others else first) from error
        return (*cells, *tail)

    return row


def _one_of_each_attribute(rejected: Sequence[ValueRejected]) -> list[ValueRejected]:
    """The first rejection of each attribute: several columns may take parts of one."""
    found: dict[str, ValueRejected] = {}
    for each in rejected:
        found.setdefault(each.attribute, each)
    return list(found.values())


def tried_by_steps(steps: Sequence[Step], *, rest_of: RestOf | None) -> TriedRow:
    """A function that tries every cell of a row."""

    def tried(keys: Image, image: Image) -> list[Cell | ValueRejected]:
        cells = [
            _tried(step.convert, (keys if step.of_key else image).get(step.attribute))
            for step in steps
        ]
        if rest_of is not None:
            cells.append(_tried(rest_of, image))
        return cells

    return tried


def _tried(make: Callable[[Any], Cell], value: object) -> Cell | ValueRejected:
    try:
        return make(value)
    except ValueRejected as rejection:
        return rejection
