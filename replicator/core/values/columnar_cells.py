"""Cells of one column, made of the values of many images at once. Pure.

A column takes its values out of the images, and checks all of them with one expression where a type
has one; most values are cells as they are then. Where that does not do, the values are converted
one by one, so that an unusual value costs only its own row the fast path. `columnar_rows` makes
rows of the columns.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from operator import attrgetter
from typing import Any

from msgspec import UNSET

from replicator.core.stream_record import AttributeValue, Image
from replicator.core.values.cells import Cell
from replicator.errors import ValueRejected

ColumnarCheck = Callable[[Sequence[Any]], Sequence[Cell] | None]
"""From the raw values of one type to the cells; None where each must be converted by itself."""
Convert = Callable[[AttributeValue | None], Cell]
"""From one value to the cell; None: the attribute is absent."""
UNUSUAL = (AttributeError, KeyError, TypeError, ValueError, RecursionError, ValueRejected)
"""Failures of a value that is not of the usual shape."""


@dataclass(frozen=True, slots=True)
class Usual:
    """Usual shape of a column's values: the type tag, and the conversion of the raw value.

    `conversion` makes the cell, or raises. `together` makes the same of many, or None. `alone`:
    values of other types are not the column's. `others` are the other shapes that it converts.
    """

    tag: str
    conversion: Callable[[Any], Cell]
    together: ColumnarCheck | None = None
    alone: bool = False
    others: tuple["Usual", ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        """The type tags of all shapes, the usual one first."""
        return (self.tag, *(other.tag for other in self.others))


@dataclass(slots=True)
class Images:
    """Images side by side: the items' keys, as received, and decoded.

    `odd` are the places of images that make no row; `names` has by place the attributes that no
    column takes, where there are any.
    """

    keys: Sequence[Image]
    raws: Sequence[memoryview]
    decoded: Sequence[Any]
    odd: set[int] = field(default_factory=set)
    names: dict[int, Sequence[str]] = field(default_factory=dict)


ColumnCells = Callable[[Images], Sequence[Cell]]
"""The cells of one column; places of values without one are marked as odd."""


def key_column(name: str, convert: Convert, usual: Usual | None) -> ColumnCells:
    """A column of a key attribute, whose values are decoded already."""
    if usual is None:
        return lambda images: _one_by_one(convert, _of_keys(name, images), images.odd)
    tag, cells_of = usual.tag, _conversion(usual)

    def cells(images: Images) -> Sequence[Cell]:
        try:
            values = [its[name] for its in images.keys]
            if sum(map(len, values)) > len(values):
                raise ValueError
            return cells_of([value[tag] for value in values])
        except UNUSUAL:
            return _one_by_one(convert, _of_keys(name, images), images.odd)

    return cells


def _of_keys(name: str, images: Images) -> Sequence[AttributeValue | None]:
    return [keys.get(name) for keys in images.keys]


def untyped_column(convert: Convert, value_of: Callable[[Any], Any]) -> ColumnCells:
    """A column whose values are decoded whatever their type."""

    def cells(images: Images) -> Sequence[Cell]:
        values = [None if value is UNSET else value for value in map(value_of, images.decoded)]
        try:
            return list(map(convert, values))
        except UNUSUAL:
            return _one_by_one(convert, values, images.odd)

    return cells


def typed_column(
    convert: Convert, usual: Usual, value_of: Callable[[Any], Any], *, every_type: bool
) -> ColumnCells:
    """A column with values that are decoded by type."""
    tags = usual.tags if every_type else usual.tags[:1]
    conversions = [_conversion(each) for each in (usual, *usual.others)][: len(tags)]
    raw_of = [attrgetter(tag) for tag in tags]
    null_of = attrgetter("NULL")

    def of_one_type(values: Sequence[Any]) -> Sequence[Cell]:
        raws, nulls = list(map(raw_of[0], values)), list(map(null_of, values))
        if None not in raws and nulls.count(None) == len(nulls):
            return conversions[0](raws)
        if [raw is None for raw in raws] != [null is not None for null in nulls]:
            raise ValueError
        there = iter(conversions[0]([raw for raw in raws if raw is not None]))
        return [None if raw is None else next(there) for raw in raws]

    together = of_one_type
    if len(tags) > 1:
        together = partial(_of_any_type, list(zip(raw_of, conversions, strict=True)))

    def typed(value: Any) -> AttributeValue:  # noqa: ANN401 (a struct made above)
        pairs = [(tag, getattr(value, tag)) for tag in (*tags, "NULL")]
        return {tag: raw for tag, raw in pairs if raw is not None}

    def cells(images: Images) -> Sequence[Cell]:
        values = list(map(value_of, images.decoded))
        try:
            return together(values)
        except UNUSUAL:
            return _one_by_one(convert, list(map(typed, values)), images.odd)

    return cells


def _of_any_type(
    types: Sequence[tuple[Callable[[Any], Any], Callable[[Sequence[Any]], Sequence[Cell]]]],
    values: Sequence[Any],
) -> Sequence[Cell]:
    """The cells of values, each of which has one of the given types or is NULL."""
    cells: list[Cell] = [None] * len(values)
    places = [place for place, value in enumerate(values) if value.NULL is not None]
    for raw_of, cells_of in types:
        raws = list(map(raw_of, values))
        its = [place for place, raw in enumerate(raws) if raw is not None]
        for place, cell in zip(its, cells_of([raws[place] for place in its]), strict=True):
            cells[place] = cell
        places += its
    if sorted(places) != list(range(len(values))):
        raise ValueError
    return cells


def _conversion(usual: Usual) -> Callable[[Sequence[Any]], Sequence[Cell]]:
    """A function that makes cells of raw values, none of which is None."""
    together, convert = usual.together, usual.conversion

    def cells(raws: Sequence[Any]) -> Sequence[Cell]:
        made = together(raws) if together is not None and raws else None
        return list(map(convert, raws)) if made is None else made

    return cells


def _one_by_one(
    convert: Convert,
    values: Sequence[AttributeValue | None],
    odd: set[int],
) -> Sequence[Cell]:
    """Make cells one by one, so that an unusual value costs only the own row the fast path."""
    cells: list[Cell] = []
    for place, value in enumerate(values):
        try:
            cells.append(convert(value))
        except UNUSUAL:
            odd.add(place)
            cells.append(None)
    return cells


def texts(length_max: int | None = None) -> ColumnarCheck:
    """Texts that PostgreSQL can hold, of so many characters at most."""

    def cells(raws: Sequence[str]) -> Sequence[Cell] | None:
        whole = "".join(raws)
        if "\0" in whole or (length_max is not None and max(map(len, raws)) > length_max):
            return None
        try:
            return raws if whole.isascii() or whole.encode() else None
        except UnicodeEncodeError:
            return None

    return cells


def unpadded(length_max: int) -> ColumnarCheck:
    """A check of lengths that also rejects a trailing space."""
    plain = texts(length_max)

    def cells(raws: Sequence[str]) -> Sequence[Cell] | None:
        return None if any(raw[-1:] == " " for raw in raws) else plain(raws)

    return cells


def matching(pattern: str, cut: re.Pattern[str] | None = None) -> ColumnarCheck:
    """Texts that are cells unchanged, or without what matches `cut`.

    Neither pattern may match a comma.
    """
    are_cells = re.compile(f"(?:(?:{pattern}),)*+").fullmatch

    def cells(raws: Sequence[str]) -> Sequence[Cell] | None:
        whole = ",".join(raws) + ","
        if whole.count(",") != len(raws):
            return None
        if are_cells(whole):
            return raws
        shorter = whole if cut is None else cut.sub("", whole)
        return shorter.split(",")[:-1] if shorter != whole and are_cells(shorter) else None

    return cells


def booleans(raws: Sequence[bool]) -> Sequence[Cell]:
    """Cells of boolean values."""
    return ["true" if raw else "false" for raw in raws]


def string_sets(sets: Sequence[list[str]]) -> Sequence[Cell] | None:
    """Sets of strings in which nothing must be escaped, as arrays."""
    inside = ['","'.join(sorted(members)) for members in sets]
    whole = "".join(inside)
    if not all(sets) or not whole.isascii() or "\0" in whole or "\\" in whole:
        return None
    if whole.count('"') != 2 * (sum(map(len, sets)) - len(sets)):
        return None
    return [f'{{"{members}"}}' for members in inside]


def lists(tag: str, check: ColumnarCheck) -> ColumnarCheck:
    """Lists of values of one type, as arrays, in which nothing must be escaped."""
    kind = bool if tag == "BOOL" else str

    def cells(raws: Sequence[list[dict[str, Any]]]) -> Sequence[Cell] | None:
        elements = list(chain.from_iterable(raws))
        try:
            members = [element[tag] for element in elements]
        except KeyError:
            return None
        if sum(map(len, elements)) > len(members) or set(map(type, members)) - {kind}:
            return None
        made = check(members) if members else []
        if made is None:
            return None
        texts = [cell for cell in made if isinstance(cell, str)]
        whole = "".join(texts)
        if len(texts) < len(members) or '"' in whole or "\\" in whole:
            return None
        each = iter(texts)
        return ['{"' + '","'.join(islice(each, len(raw))) + '"}' if raw else "{}" for raw in raws]

    return cells
