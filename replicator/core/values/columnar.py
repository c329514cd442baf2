"""Rows of usual images, made column by column; images of another shape make no row here. Pure.

Theory of operation
-------------------
The problem: a batch has thousands of records of a dozen attributes each. Decoding every image
into Python objects and converting every value by a call costs more than PostgreSQL needs to write
the row. The interpreter is fast only where one call in C does the work of many values.

The idea: most values of one column look alike. A column that is fed by numbers receives `{"N":
"…"}` nearly always, and a number's text is the cell as it is. So the rows of a batch are made in
two steps, each of which treats all records at once.

1. Decode. `_Decoder` compiles one msgspec struct for the mapping. The struct has a field for
   every attribute that a column uses, typed as the column usually receives it (`Usual.tag`);
   attributes that no column uses are skipped by the decoder in C. An image that does not fit the
   struct is decoded to None.
2. Convert. Every column turns the list of its raw values into the list of its cells. `together`
   (see `columnar_checks`) checks a whole list with one regular expression; where no such check
   exists, `conversion` is mapped over the list. Rows are the columns, zipped.

The invariant: a row that is made here is equal, cell by cell, to the row that `row.row_by_steps`
makes of the same image. Nothing is decided here: an image that is rejected, a value of another
type, a number that needs rounding, a name that jsonb cannot hold, all make no row (None), and the
planner walks those records one by one with `row_by_steps`, which alone may reject. The property
tests in `tests/core/test_usual_rows.py` hold both ways equal.

A column that fails as a whole is made again record by record (`_one_by_one`), so that one unusual
value costs its own row the fast path and no other row's; places without a row are collected in
`_Batch.odd`.

Which attributes no column takes is found by a second struct that forbids unknown fields: usual
images pass it at no extra cost, and only where one does not are names looked up (`_names`).

Broken without it: were an unusual value converted here "as well as possible", two code paths
would decide on a row, and they would drift apart. Were a failure not confined to its record, one
number set would send its whole batch down the slow path.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, islice
from json.encoder import encode_basestring as quote
from operator import add, attrgetter
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from replicator.core.records import AttributeValue, Image, StreamRecord
from replicator.core.values.attributes import may_lack_tags
from replicator.core.values.cells import Cell
from replicator.core.values.json_text import plain_texts
from replicator.core.values.row import Row, Step, Untaken, Usual
from replicator.errors import ValueRejected


@dataclass(frozen=True, slots=True)
class MadeRows:
    """A row for each record, in order, None where its new image is not a usual one.

    `untaken` are the attributes of the usual ones that nothing takes; by their names, `carriers`
    tells the place of a record that has one.
    """

    rows: Sequence[Row | None]
    untaken: Counter[str]
    carriers: dict[str, int]


UsualRows = Callable[[Sequence[StreamRecord]], MadeRows]
"""From records to the rows of their new images."""
Rest = Literal["dropped", "kept", "exceptional"]


@dataclass(slots=True)
class _Batch:
    """Images side by side: the items' keys, as received, and decoded.

    `odd` are the places of those that make no row.
    """

    keys: Sequence[Image]
    raws: Sequence[memoryview]
    images: Sequence[Any]
    odd: set[int] = field(default_factory=set)


_Cells = Callable[[_Batch], Sequence[Cell]]
"""The cells of one column; it raises where one is unusual, or marks that as odd."""

_UNUSUAL = (AttributeError, KeyError, TypeError, ValueError, ValueRejected)
_RAW_TYPES: dict[str, Any] = {
    **dict.fromkeys(("S", "N", "B"), str),
    **dict.fromkeys(("SS", "NS", "BS"), list[str]),
    "BOOL": bool,
    "L": list[dict[str, Any]],
}
_BETWEEN = b"\x1f"  # no valid JSON holds it
_NULL = b'{"NULL":true}'
_NESTED_OR_NULL = (b'{"M":{', b'{"L":[', _NULL)
_decode_values = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_value = msgspec.json.Decoder(AttributeValue).decode


def compile_usual_rows(
    steps: Sequence[Step], *, keys: Iterable[str], rest: Rest, tail: Row, untaken: Untaken
) -> UsualRows | None:
    """A function that makes the rows of usual images.

    `keys` are the names of the key attributes; `rest` says whether what nothing takes is a cell,
    an empty one in usual images if it is exceptional; `tail` is how the row ends. None where an
    attribute has a name that the decoder cannot be told.
    """
    users: dict[str, list[Step]] = {name: [] for name in keys}
    for step in steps:
        if not step.of_key:
            users.setdefault(step.attribute, []).append(step)
    fields = {name: f"a{number}" for number, name in enumerate(users)}
    try:
        decode = _Decoder(users, fields, untaken, rest)
    except ValueError:
        return None
    columns = [
        _key_column(step) if step.of_key else _column(step, fields[step.attribute], users)
        for step in steps
    ]
    if rest == "kept":
        columns.append(_rest_column(untaken))
    elif rest == "exceptional":
        columns.append(lambda batch: ["{}"] * len(batch.keys))

    def rows_of(records: Sequence[StreamRecord]) -> MadeRows:
        raws = [record.new_image or memoryview(b"") for record in records]
        images, names = decode(raws)
        if may_lack_tags(_BETWEEN.join(raws)):
            pairs = zip(images, raws, strict=True)
            images = [None if may_lack_tags(bytes(raw)) else image for image, raw in pairs]
        batch = _Batch([record.keys for record in records], raws, images)
        rows: list[Row | None]
        if None not in images:
            rows = _rows(columns, batch, tail)
        else:
            places = [place for place, image in enumerate(images) if image is not None]
            rows = [None] * len(records)
            for place, row in zip(places, _rows(columns, _at(batch, places), tail), strict=True):
                rows[place] = row
        usual = {place: found for place, found in names.items() if rows[place] is not None}
        carriers = {name: place for place, found in usual.items() for name in found}
        return MadeRows(rows, Counter(chain.from_iterable(usual.values())), carriers)

    return rows_of


def _at(batch: _Batch, places: Sequence[int]) -> _Batch:
    """Some of a batch."""
    return _Batch(
        [batch.keys[place] for place in places],
        [batch.raws[place] for place in places],
        [batch.images[place] for place in places],
    )


def _rows(columns: Sequence[_Cells], batch: _Batch, tail: Row) -> list[Row | None]:
    """The cells of all columns, put together."""
    of_columns = []
    for cells_of in columns:
        try:
            of_columns.append(cells_of(batch))
        except _UNUSUAL:
            of_columns.append(_one_by_one(cells_of, batch))
    of_columns += [[cell] * len(batch.keys) for cell in tail]
    rows: list[Row | None] = list(zip(*of_columns, strict=True))
    for place in batch.odd:
        rows[place] = None
    return rows


def _one_by_one(cells_of: _Cells, batch: _Batch) -> Sequence[Cell]:
    """Make cells one by one, so that an unusual value costs only its own row the fast path."""
    cells: list[Cell] = [None] * len(batch.keys)
    for place in range(len(cells)):
        alone = _at(batch, (place,))
        try:
            [cells[place]] = cells_of(alone)
        except _UNUSUAL:
            batch.odd.add(place)
        else:
            batch.odd.update([place] * len(alone.odd))
    return cells


class _Decoder:
    """Decodes the attributes that are used; None for an image where one is of another type.

    Where a rest is exceptional, images with other attributes are not decoded either.
    """

    def __init__(
        self, users: dict[str, list[Step]], fields: dict[str, str], untaken: Untaken, rest: Rest
    ) -> None:
        members = [(fields[name], *_value_of(its)) for name, its in users.items()]
        self._untaken = untaken
        self._partly_taken = [(name, fields[name]) for name in untaken(users)]
        self._rest = rest
        self._strict, self._loose = (
            msgspec.json.Decoder(
                msgspec.defstruct(
                    "Image",
                    members,
                    rename={name: told for told, name in fields.items()},
                    forbid_unknown_fields=strict,
                    gc=False,
                )
            ).decode
            for strict in (True, rest == "exceptional")
        )

    def __call__(self, raws: Sequence[memoryview]) -> tuple[list[Any], dict[int, Sequence[str]]]:
        """The images; by their places the names of their attributes that nothing takes."""
        if self._rest != "dropped":
            images = self._loosely(raws)
            return images if self._rest == "kept" else list(map(self._without_rest, images)), {}
        try:
            images = list(map(self._strict, raws))
        except ValueError:
            return self._loosely(raws), dict(enumerate(map(self._names, raws)))
        names: dict[int, Sequence[str]] = {}
        for name, told in self._partly_taken:
            for place, value in enumerate(map(attrgetter(told), images)):
                if value is not UNSET:
                    names[place] = (*names.get(place, ()), name)
        return images, names

    def _loosely(self, raws: Sequence[memoryview]) -> list[Any]:
        try:
            return list(map(self._loose, raws))
        except ValueError:
            return [self._image(raw) for raw in raws]

    def _without_rest(self, image: Any) -> Any:  # noqa: ANN401 (as below)
        """None for an image of which something would be left."""
        left = image is None or any(
            getattr(image, told) is not UNSET for _, told in self._partly_taken
        )
        return None if left else image

    def _image(self, raw: memoryview) -> Any:  # noqa: ANN401 (a struct made above)
        try:
            return self._loose(raw)
        except ValueError:
            return None

    def _names(self, raw: memoryview) -> Sequence[str]:
        try:
            return self._untaken(_decode_values(raw))
        except ValueError:
            return ()


def _value_of(users: list[Step]) -> tuple[Any, Any]:
    """The decoded type of an attribute, and the value for an absent one."""
    if not users:
        return Raw, Raw()
    usual = users[0].usual
    if len(users) > 1 or usual is None:
        return AttributeValue | UnsetType, UNSET
    if usual.tag == "M":
        return Raw, Raw(_NULL)
    value = _value_type(usual.tag)
    return value, value(null=True)


@cache
def _value_type(tag: str) -> type[msgspec.Struct]:
    """A value of this type, or NULL."""
    return msgspec.defstruct(
        "Value",
        [("raw", _RAW_TYPES[tag] | None, None), ("null", bool | None, None)],
        rename={"raw": tag, "null": "NULL"},
        forbid_unknown_fields=True,
        frozen=True,
        gc=False,
    )


def _key_column(step: Step) -> _Cells:
    name, convert, usual = step.attribute, step.convert, step.usual
    if usual is None:
        return lambda batch: [convert(keys[name]) for keys in batch.keys]
    tag, cells_of = usual.tag, _conversion(usual)

    def cells(batch: _Batch) -> Sequence[Cell]:
        values = [keys[name] for keys in batch.keys]
        if sum(map(len, values)) > len(values):
            raise ValueError
        return cells_of([value[tag] for value in values])

    return cells


def _column(step: Step, told: str, users: dict[str, list[Step]]) -> _Cells:
    convert, usual, value_of = step.convert, step.usual, attrgetter(told)
    if usual is None or len(users[step.attribute]) > 1:
        return lambda batch: [
            convert(None if value is UNSET else value) for value in map(value_of, batch.images)
        ]
    if usual.tag == "M":
        return lambda batch: _json_cells(list(map(value_of, batch.images)), step, batch.odd)
    cells_of = _conversion(usual)

    def cells(batch: _Batch) -> Sequence[Cell]:
        values = list(map(value_of, batch.images))
        raws, nulls = [value.raw for value in values], [value.null for value in values]
        if None not in raws and nulls.count(None) == len(nulls):
            return cells_of(raws)
        if [raw is None for raw in raws] != [null is not None for null in nulls]:
            raise ValueError
        there = iter(cells_of([raw for raw in raws if raw is not None]))
        return [None if raw is None else next(there) for raw in raws]

    return cells


def _conversion(usual: Usual) -> Callable[[Sequence[Any]], Sequence[Cell]]:
    """A function that makes cells of raw values, none of which is None."""
    together, convert = usual.together, usual.conversion

    def cells(raws: Sequence[Any]) -> Sequence[Cell]:
        made = together(raws) if together is not None and raws else None
        return list(map(convert, raws)) if made is None else made

    return cells


def _json_cells(raws: list[Raw], step: Step, odd: set[int]) -> list[Cell]:
    """The cells of a jsonb column, decoded only where they must be."""
    values = list(map(bytes, raws))
    if step.usual is not None and step.usual.alone:
        odd.update(n for n, value in enumerate(values) if not value.startswith(_NESTED_OR_NULL))
    cells: list[Cell] = [*plain_texts(values)]
    for place in [place for place, cell in enumerate(cells) if cell is None]:
        try:
            cells[place] = step.convert(_decode_value(values[place]))
        except _UNUSUAL:
            odd.add(place)
    if _NULL in values:
        return [None if value == _NULL else cell for cell, value in zip(cells, values, strict=True)]
    return cells


def _rest_column(untaken: Untaken) -> _Cells:
    """The object of all that no column takes."""

    def cells(batch: _Batch) -> Sequence[Cell]:
        wanted: dict[tuple[str, ...], tuple[list[str], list[str | None]]] = {}
        values, shapes = list(map(_decode_values, batch.raws)), []
        for names in map(tuple, values):
            if names not in wanted:
                taken = untaken(names)
                wanted[names] = taken, list(map(_label, taken))
            shapes.append(wanted[names])
        members = [
            image[name] for image, (its, _) in zip(values, shapes, strict=True) for name in its
        ]
        texts = iter(plain_texts(members))
        objects: list[Cell] = []
        for place, (_, labels) in enumerate(shapes):
            its = list(islice(texts, len(labels)))
            try:
                objects.append("{" + ",".join(map(add, labels, its)) + "}")
            except TypeError:  # one of them must be decoded
                batch.odd.add(place)
                objects.append(None)
        return objects

    return cells


def _label(name: str) -> str | None:
    """The text before a member's value in a JSON object; None for names that jsonb cannot hold."""
    return None if "\0" in name else quote(name) + ":"
