"""Attributes of an item that no column takes whole, as one jsonb cell. Pure."""

from collections.abc import Callable, Iterable, Sequence

from replicator.core.mapping.mapped_columns import MappedColumn
from replicator.core.stream_record import Image
from replicator.core.values.cells import Unfit
from replicator.core.values.column_options import OnNul
from replicator.core.values.json_text import json_object
from replicator.core.values.row_builder import RestOf, Untaken
from replicator.errors import ValueRejected

_LEGACY_PREFIX = "aws:rep:"  # what global tables of 2017 add to every item

Strays = Callable[[Image], list[str]]
"""Finds attributes with a column whose value in an image is of another type than the column's."""


def no_strays(_: Image) -> list[str]:
    """No strays, for targets with columns that take or reject all values."""
    return []


def untaken_by(taken: list[str]) -> Untaken:
    """A function that finds the names that no column takes, given the names that are taken."""
    whole = frozenset(taken)

    def untaken(names: Iterable[str]) -> list[str]:
        return [name for name in names if name not in whole and not name.startswith(_LEGACY_PREFIX)]

    return untaken


def strays_of(columns: Sequence[MappedColumn]) -> Strays:
    """A function that finds values which the columns of the names do not take."""
    tags = {column.attribute: column.tags | {"NULL"} for column in columns if column.tags}
    if not tags:
        return no_strays
    return lambda image: [
        name for name, own in tags.items() if name in image and not own >= image[name].keys()
    ]


def rest_in(column: str, untaken: Untaken, strays: Strays, nul: OnNul) -> RestOf:
    """A function that makes the cell of the `rest` column."""

    def rest_of(image: Image) -> str:
        names = [*untaken(image), *strays(image)]
        try:
            return json_object({name: image[name] for name in names}, nul)
        except Unfit as unfit:
            attribute = unfit.inside.removeprefix(".")
            raise ValueRejected(unfit.reason, attribute=attribute, column=column) from unfit

    return rest_of
