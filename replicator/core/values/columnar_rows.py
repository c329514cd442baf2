"""Rows of usual images, made column by column; images of another shape make no row here. Pure.

Theory of operation
-------------------
The problem: a batch has thousands of records of a dozen attributes each. Decoding every image
into Python objects and converting every value by a call costs more than PostgreSQL needs to write
the row. The interpreter is fast only where one call in C does the work of many values.

The idea: most values of one column look alike. A column that is fed by numbers receives `{"N":
"…"}` nearly always, and a number's text is the cell as it is. So the rows of a batch are made in
two steps, each of which treats all records at once.

1. Decode. `_decoder` compiles one msgspec struct for the mapping. The struct has a field for
   every attribute that a column uses, typed as the column usually receives it (`Usual.tag`);
   attributes that no column uses are skipped by the decoder in C. An image that does not fit the
   struct is refused.
2. Convert. Every column turns the list of its raw values into the list of its cells. `together`
   (see `columnar_cells`) checks a whole list with one regular expression; where no such check
   exists, `conversion` is mapped over the list. Rows are the columns, zipped.

There are two such ways. The narrow one knows for each column the one type that it usually receives,
and for a mapping that leaves attributes out it knows the names. What it refuses takes the wide
one: the struct has every type that a column converts, its images are decoded without a word about
other attributes, and what no column takes is looked up by name. The wide way is for mappings and
items that are usual for somebody (a number in a text column, a list for an array, an attribute
that appeared last week), and costs less than twice the narrow one.

The invariant: a row that is made here is equal, cell by cell, to the row that `row_by_steps` of
`row_builder` makes of the same image. Nothing is decided here: what the converters reject, and a
name that jsonb cannot hold, makes no row (None), and the planner walks those records one by one
with `row_by_steps`, which alone may reject. The property tests in
`tests/core/test_columnar_rows.py` hold both ways equal, and `tests/core/test_slow_records.py`
counts what is left to the walk.

A column that fails as a whole is made again value by value with the column's own converter, so
that one unusual value costs its own row the fast path and no other row's; places without a row are
collected in `Images.odd`.

Broken without it: were an unusual value converted here "as well as possible", two code paths
would decide on a row, and they would drift apart. Were a failure not confined to the record, one
number set would send the whole batch down the slow path.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, islice
from json.encoder import encode_basestring as quote
from operator import add, attrgetter
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from replicator.core.stream_record import AttributeValue, Image, StreamRecord
from replicator.core.values.cells import Cell
from replicator.core.values.column_options import OnNul
from replicator.core.values.columnar_cells import (
    UNUSUAL,
    ColumnCells,
    Images,
    Usual,
    key_column,
    typed_column,
    untyped_column,
)
from replicator.core.values.dynamodb_json import may_lack_tags
from replicator.core.values.json_text import json_text, object_texts, plain_texts
from replicator.core.values.row_builder import Row, Step, Untaken

Children = tuple[list[Row], ...]
"""For each child table of a target, the rows of one item."""
ChildrenOf = tuple[str, Callable[[Row, Image], list[Row]]]
"""An attribute, and a function from a parent's key and an image with that attribute to the rows of
a child table; ValueRejected."""


@dataclass(frozen=True, slots=True)
class MadeRows:
    """Rows of records in order, None for an unusual new image.

    `untaken` are the attributes of usual images that nothing takes; by the names, `carriers` tells
    the place of a record that has one. `candidates` are attributes of a rest that could be columns,
    with the first place of each. `children` stand beside the rows of targets that have child
    tables.
    """

    rows: Sequence[Row | None]
    untaken: Counter[str]
    carriers: dict[str, int]
    candidates: dict[str, int]
    children: Sequence[Children] = ()


UsualRows = Callable[[Sequence[StreamRecord]], MadeRows]
"""From records to the rows of the new images."""
Rest = Literal["dropped", "kept", "exceptional"]


@dataclass(frozen=True, slots=True)
class Remainder:
    """The attributes that no column takes: dropped, kept as a cell, or that cell in exceptional
    images only, and an empty one in usual images.

    `strays` finds values that are not of the column's type, which are in an exceptional rest too;
    `stray` are the attributes that may have some.
    """

    rest: Rest
    untaken: Untaken
    strays: Callable[[Image], list[str]]
    stray: Sequence[str] = ()
    nul: OnNul = "reject"


@dataclass(frozen=True, slots=True)
class MaskedAttributes:
    """Personal data: `value` hides personal data in an attribute's value, or answers None for a
    value to drop."""

    attributes: frozenset[str]
    value: Callable[[str, AttributeValue], AttributeValue | None]


_Decode = Callable[[memoryview], Any]

_RAW_TYPES: dict[str, Any] = {
    **dict.fromkeys(("S", "N", "B"), str),
    **dict.fromkeys(("SS", "NS", "BS"), list[str]),
    "BOOL": bool,
    "L": list[dict[str, Any]],
    "M": dict[str, Any],
}
_NESTING = frozenset(("M", "L"))
_BETWEEN = b"\x1f"  # no valid JSON holds it
_NULL = b'{"NULL":true}'
_NESTED_OR_NULL = (b'{"M":{', b'{"L":[', _NULL)
_REFUSED_AT_LEAST = 16  # so few of a batch are refused one by one, whatever their part is
_decode_values = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_value = msgspec.json.Decoder(AttributeValue).decode


def compile_usual_rows(
    steps: Sequence[Step],
    *,
    keys: Iterable[str],
    remainder: Remainder,
    tail: Row,
    hiding: MaskedAttributes | None = None,
    children: Sequence[ChildrenOf] = (),
    key_width: int = 0,
) -> UsualRows | None:
    """A function that makes the rows of usual images.

    `keys` are the names of the key attributes; `tail` is how the row ends; a row begins with
    `key_width` cells of the key. None where an attribute has a name that the decoder cannot be
    told.
    """
    fields = _fields(steps, keys, remainder, hiding, children)
    try:
        ways = _ways(steps, fields, remainder, hiding)
    except ValueError:
        return None
    of_children = [(fields.told[name], name, of_item) for name, of_item in children]
    ends = _Ends(tail, of_children, key_width, hiding)
    tags_matter = bool(hiding or children or remainder.rest != "dropped" or _take_maps(steps))

    def rows_of(records: Sequence[StreamRecord]) -> MadeRows:
        raws = [record.new_image or memoryview(b"") for record in records]
        images = Images([record.keys for record in records], raws, ())
        places = list(range(len(raws)))
        if tags_matter and may_lack_tags(_BETWEEN.join(raws)):
            places = [place for place in places if not may_lack_tags(bytes(raws[place]))]
        found = _Found([None] * len(raws), [()] * len(raws) if children else [])
        for way in ways:
            if places:
                places = _take(way, ends, images, places, found)
        return found.made()

    return rows_of


def _take_maps(steps: Sequence[Step]) -> bool:
    """False where an empty map is as unfit for every column without its tag as it is with it."""
    usuals = [step.usual for step in steps if not step.of_key]
    return any(
        usual is None or usual.alone or not _NESTING.isdisjoint(usual.tags) for usual in usuals
    )


def _fields(
    steps: Sequence[Step],
    keys: Iterable[str],
    remainder: Remainder,
    hiding: MaskedAttributes | None,
    children: Sequence[ChildrenOf],
) -> "_Fields":
    users: dict[str, list[Step]] = {name: [] for name in keys}
    for step in steps:
        if not step.of_key:
            users.setdefault(step.attribute, []).append(step)
    shared = {attribute for attribute, _ in children}
    if remainder.rest == "dropped" and hiding is not None:
        shared |= set(remainder.untaken(hiding.attributes))
    for name in sorted(shared):
        users.setdefault(name, [])
    return _Fields(users, shared, {name: f"a{number}" for number, name in enumerate(users)})


def _ways(
    steps: Sequence[Step], fields: "_Fields", remainder: Remainder, hiding: MaskedAttributes | None
) -> Sequence["_Way"]:
    """The ways to take one after the other, each for the images that the one before leaves."""
    wide = _wide(steps, fields, remainder, hiding)
    if remainder.rest == "exceptional" and hiding is not None:
        return (wide,)  # what is hidden may become a stray, of which the narrow way knows nothing
    return _narrow(steps, fields, remainder, hiding), wide


@dataclass(slots=True)
class _Found:
    """Rows by the places, while being made."""

    rows: list[Row | None]
    children: list[Children]
    names: dict[int, Sequence[str]] = field(default_factory=dict)
    candidates: dict[str, int] = field(default_factory=dict)

    def take(
        self,
        places: Sequence[int],
        rows: Sequence[Row],
        children: Sequence[Children],
        images: Images,
        *,
        candidates: bool,
    ) -> None:
        """Add the rows of images that were made; `candidates`: the names could be columns."""
        for place, row in zip(places, rows, strict=True):
            self.rows[place] = row
        for place, its in zip(places, children, strict=False):
            self.children[place] = its
        for number in images.odd:
            self.rows[places[number]] = None
            images.names.pop(number, None)
        for number, names in images.names.items():
            if candidates:
                for name in names:
                    self.candidates.setdefault(name, places[number])
            else:
                self.names[places[number]] = names

    def made(self) -> MadeRows:
        """The rows that were made, with the attributes that nothing takes."""
        carriers = {name: place for place, names in self.names.items() for name in names}
        untaken = Counter(chain.from_iterable(self.names.values()))
        return MadeRows(self.rows, untaken, carriers, self.candidates, self.children)


@dataclass(frozen=True, slots=True)
class _Ends:
    """The end of every row, and the child rows of the row."""

    tail: Row
    children: Sequence[tuple[str, str, Callable[[Row, Image], list[Row]]]]
    key_width: int
    hiding: MaskedAttributes | None


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of the struct: by attribute the steps that need it, and the name in the struct.

    `shared` attributes are used by others than columns too.
    """

    users: Mapping[str, Sequence[Step]]
    shared: set[str]
    told: Mapping[str, str]

    def alone(self, step: Step) -> Usual | None:
        """The usual value of a column that has the attribute for itself."""
        return None if self.of_any_type(step.attribute) else step.usual

    def of_any_type(self, name: str) -> bool:
        """True for an attribute with several users: each of them converts other types."""
        return len(self.users[name]) > 1 or name in self.shared


@dataclass(frozen=True, slots=True)
class _Way:
    """A decoder of images, and the columns of the decoded values.

    `names_of` finds the attributes of the images that no column takes, where needed; a rest
    that is a cell has `candidates` where such attributes can be columns.
    """

    decode: _Decode
    columns: Sequence[ColumnCells]
    names_of: Callable[[Images], dict[int, Sequence[str]]] | None
    candidates: bool = False


def _narrow(
    steps: Sequence[Step], fields: _Fields, remainder: Remainder, hiding: MaskedAttributes | None
) -> _Way:
    columns = [_column(step, fields, every_type=False) for step in steps]
    strict = remainder.rest != "kept"
    if remainder.rest == "kept":
        columns.append(_rest_column(remainder, fields, hiding))
    elif remainder.rest == "exceptional":
        columns.append(_no_rest_column(remainder, fields))
    names_of = _partly_taken(remainder, fields, hiding) if remainder.rest == "dropped" else None
    return _Way(_decoder(fields, every_type=False, strict=strict), columns, names_of)


def _wide(
    steps: Sequence[Step], fields: _Fields, remainder: Remainder, hiding: MaskedAttributes | None
) -> _Way:
    columns = [_column(step, fields, every_type=True) for step in steps]
    names_of = None
    if remainder.rest == "dropped":
        names_of = _looked_up(remainder, hiding)
    else:
        columns.append(_rest_column(remainder, fields, hiding))
    decode = _decoder(fields, every_type=True, strict=False)
    return _Way(decode, columns, names_of, candidates=remainder.rest == "exceptional")


def _take(way: _Way, ends: _Ends, whole: Images, places: Sequence[int], found: _Found) -> list[int]:
    """Make the rows of some places in one way; returns the places that are left, in order."""
    decoded = _decoded(way.decode, [whole.raws[place] for place in places])
    left = [place for place, image in zip(places, decoded, strict=True) if image is None]
    if left:
        taken = [place for place, image in zip(places, decoded, strict=True) if image is not None]
        decoded = [image for image in decoded if image is not None]
    else:
        taken = list(places)
    if not taken:
        return left
    images = Images(
        [whole.keys[place] for place in taken], [whole.raws[place] for place in taken], decoded
    )
    columns = [cells_of(images) for cells_of in way.columns]
    columns += [[cell] * len(taken) for cell in ends.tail]
    rows = list(zip(*columns, strict=True))
    children = _children(ends, rows, images) if ends.children else []
    if way.names_of is not None:
        images.names = way.names_of(images)
    found.take(taken, rows, children, images, candidates=way.candidates)
    return sorted([*left, *(taken[number] for number in images.odd)])


def _children(ends: _Ends, rows: Sequence[Row], images: Images) -> list[Children]:
    """The child rows of every row."""
    values = [list(map(attrgetter(told), images.decoded)) for told, _, _ in ends.children]
    made: list[Children] = []
    for number, (row, its) in enumerate(zip(rows, zip(*values, strict=True), strict=True)):
        key = row[: ends.key_width]
        try:
            of_tables = []
            for (_, name, rows_of), value in zip(ends.children, its, strict=True):
                if value is not UNSET and ends.hiding is not None:
                    value = _hidden(ends.hiding, name, value)  # noqa: PLW2901
                of_tables.append(rows_of(key, {} if value in (None, UNSET) else {name: value}))
            made.append(tuple(of_tables))
        except UNUSUAL:
            images.odd.add(number)
            made.append(())
    return made


def _hidden(hiding: MaskedAttributes, name: str, value: AttributeValue) -> AttributeValue | None:
    return hiding.value(name, value) if name in hiding.attributes else value


def _decoded(decode: _Decode, raws: Sequence[memoryview]) -> list[Any]:
    """The images, None for images that the decoder refuses; and for all others where refusals are
    many, as every refusal costs as much as several images.
    """
    images: list[Any] = []
    refused, each = 0, map(decode, raws)
    while len(images) < len(raws):
        try:
            images.extend(each)  # what was decoded before a refusal stays
        except (ValueError, RecursionError):
            images.append(None)
            refused += 1
            if refused >= _REFUSED_AT_LEAST and refused * 4 > len(images):
                images += [None] * (len(raws) - len(images))
    return images


def _decoder(fields: _Fields, *, every_type: bool, strict: bool) -> _Decode:
    """Decodes the attributes that are used; `strict` refuses images with others."""
    members = [
        (told, *_value_of(name, fields, every_type=every_type))
        for name, told in fields.told.items()
    ]
    struct = msgspec.defstruct(
        "Image",
        members,
        rename={told: name for name, told in fields.told.items()},
        forbid_unknown_fields=strict,
        gc=False,
    )
    return msgspec.json.Decoder(struct).decode


def _value_of(name: str, fields: _Fields, *, every_type: bool) -> tuple[Any, Any]:
    """The decoded type of an attribute, and the value for an absent one."""
    users = fields.users[name]
    if not users and name not in fields.shared:
        return Raw, Raw()
    usual = fields.alone(users[0]) if users else None
    if usual is None or (every_type and usual.alone):
        return AttributeValue | UnsetType, UNSET
    if usual.tag == "M":
        return Raw, Raw(_NULL)
    value = _value_type(usual.tags if every_type else usual.tags[:1])
    return value, value(NULL=True)


@cache
def _value_type(tags: tuple[str, ...]) -> type[msgspec.Struct]:
    """A value of one of the given types, or NULL: an absent tag is None, a JSON null is refused."""
    return msgspec.defstruct(
        "Value",
        [*((tag, _RAW_TYPES[tag], None) for tag in tags), ("NULL", bool, None)],
        forbid_unknown_fields=True,
        frozen=True,
        gc=False,
    )


def _column(step: Step, fields: _Fields, *, every_type: bool) -> ColumnCells:
    if step.of_key:
        return key_column(step.attribute, step.convert, step.usual)
    usual, value_of = fields.alone(step), attrgetter(fields.told[step.attribute])
    if usual is None or (every_type and usual.alone):
        return untyped_column(step.convert, value_of)
    if usual.tag == "M":
        return lambda images: _json_cells(list(map(value_of, images.decoded)), step, images.odd)
    return typed_column(step.convert, usual, value_of, every_type=every_type)


def _json_cells(raws: list[Raw], step: Step, odd: set[int]) -> list[Cell]:
    """The cells of a jsonb column, decoded only where necessary."""
    values = list(map(bytes, raws))
    if step.hide is not None:
        return _hidden_json_cells(values, step, step.hide, odd)
    if step.usual is not None and step.usual.alone:
        odd.update(n for n, value in enumerate(values) if not value.startswith(_NESTED_OR_NULL))
    cells: list[Cell] = [*plain_texts(values)]
    for place in [place for place, cell in enumerate(cells) if cell is None]:
        try:
            cells[place] = step.convert(_decode_value(values[place]))
        except UNUSUAL:
            odd.add(place)
    if _NULL in values:
        return [None if value == _NULL else cell for cell, value in zip(cells, values, strict=True)]
    return cells


def _hidden_json_cells(
    values: Sequence[bytes],
    step: Step,
    hide: Callable[[AttributeValue], AttributeValue | None],
    odd: set[int],
) -> list[Cell]:
    """The cells of a jsonb column with personal data in the values."""
    hidden: list[bytes] = []
    for place, value in enumerate(values):
        try:
            left = None if value == _NULL else hide(_decode_value(value))
            hidden.append(_NULL if left is None else msgspec.json.encode(left))
        except UNUSUAL:
            odd.add(place)
            hidden.append(_NULL)
    cells: list[Cell] = []
    for place, text in enumerate(plain_texts(hidden)):
        try:
            null = hidden[place] == _NULL
            usual = text is not None or null
            cells.append(
                (None if null else text) if usual else step.convert(_decode_value(values[place]))
            )
        except UNUSUAL:
            odd.add(place)
            cells.append(None)
    return cells


def _partly_taken(
    remainder: Remainder, fields: _Fields, hiding: MaskedAttributes | None
) -> Callable[[Images], dict[int, Sequence[str]]]:
    """Finds the attributes that are decoded, and that no column takes whole."""
    partly = [(name, attrgetter(fields.told[name])) for name in remainder.untaken(fields.users)]

    def names_of(images: Images) -> dict[int, Sequence[str]]:
        names: dict[int, Sequence[str]] = {}
        for name, value_of in partly:
            for place, value in enumerate(map(value_of, images.decoded)):
                if value is UNSET or (hiding and _hidden(hiding, name, value) is None):
                    continue
                names[place] = (*names.get(place, ()), name)
        return names

    return names_of


def _looked_up(
    remainder: Remainder, hiding: MaskedAttributes | None
) -> Callable[[Images], dict[int, Sequence[str]]]:
    """Finds the attributes that no column takes by the names of all that an image has."""

    def names_of(images: Images) -> dict[int, Sequence[str]]:
        names: dict[int, Sequence[str]] = {}
        for place, raw in enumerate(images.raws):
            try:
                values = _decode_values(raw)
                its = remainder.untaken(values)
                if hiding is not None:
                    its = [
                        name
                        for name in its
                        if name not in hiding.attributes
                        or hiding.value(name, _decode_value(values[name])) is not None
                    ]
            except UNUSUAL:
                images.odd.add(place)
                continue
            if its:
                names[place] = its
        return names

    return names_of


def _no_rest_column(remainder: Remainder, fields: _Fields) -> ColumnCells:
    """The empty rest of images of which nothing is left; other images make no row.

    A value of an attribute with several users is decoded whatever its type, so that only `strays`
    tells of a value that is left.
    """
    partly = [attrgetter(fields.told[name]) for name in remainder.untaken(fields.users)]
    mixed = [
        (name, attrgetter(fields.told[name]))
        for name in remainder.stray
        if fields.of_any_type(name)
    ]

    def cells(images: Images) -> Sequence[Cell]:
        for value_of in partly:
            values = enumerate(map(value_of, images.decoded))
            images.odd.update(place for place, value in values if value is not UNSET)
        for name, value_of in mixed:
            values = enumerate(map(value_of, images.decoded))
            images.odd.update(
                place
                for place, value in values
                if value is not UNSET and remainder.strays({name: value})
            )
        return ["{}"] * len(images.keys)

    return cells


def _rest_column(
    remainder: Remainder, fields: _Fields, hiding: MaskedAttributes | None
) -> ColumnCells:
    """The objects of all that no column takes: made of images as a whole where nothing in them is
    hidden or converted, and of their members for those images that are not usual.
    """
    of_members = _objects_of_members(remainder, fields, hiding)
    if remainder.rest == "exceptional" or hiding is not None or remainder.stray:
        return lambda images: of_members(images, range(len(images.raws)))
    whole = object_texts(remainder.untaken)

    def cells(images: Images) -> Sequence[Cell]:
        objects: list[Cell] = [*whole(images.raws)]
        if None in objects:
            left = [place for place, text in enumerate(objects) if text is None]
            for place, text in zip(left, of_members(images, left), strict=True):
                objects[place] = text
        return objects

    return cells


def _objects_of_members(
    remainder: Remainder, fields: _Fields, hiding: MaskedAttributes | None
) -> Callable[[Images, Sequence[int]], list[Cell]]:
    """A function that makes the objects of images at some places from their members."""
    untaken, nul = remainder.untaken, remainder.nul
    tells_names = remainder.rest == "exceptional"
    strays_of = _strays(remainder, fields, hiding) if remainder.stray else None

    def objects_of(images: Images, places: Sequence[int]) -> list[Cell]:
        wanted: dict[tuple[str, ...], tuple[list[str], list[str | None]]] = {}
        members: list[bytes | memoryview] = []
        shapes: list[list[str | None]] = []
        for place in places:
            values: dict[str, Any] = {}
            try:
                values = _decode_values(images.raws[place])
                every = tuple(values)
                if every not in wanted:
                    taken = untaken(every)
                    wanted[every] = taken, list(map(_label, taken))
                names, labels = wanted[every]
                if hiding is not None and not hiding.attributes.isdisjoint(names):
                    names = _hide_members(hiding, names, values)
                    labels = list(map(_label, names))
                if strays_of is not None and (found := strays_of(images.decoded[place], values)):
                    names = [*names, *found]
                    labels = list(map(_label, names))
            except UNUSUAL:
                images.odd.add(place)
                names, labels = [], []
            members += [values[name] for name in names]
            shapes.append(labels)
            if tells_names and names:
                images.names[place] = names
        texts = iter(_member_texts(members, nul))
        objects: list[Cell] = []
        for place, labels in zip(places, shapes, strict=True):
            its = list(islice(texts, len(labels)))
            try:
                objects.append("{" + ",".join(map(add, labels, its)) + "}")
            except TypeError:  # a name or a value that jsonb cannot hold
                images.odd.add(place)
                objects.append(None)
        return objects

    return objects_of


def _strays(
    remainder: Remainder, fields: _Fields, hiding: MaskedAttributes | None
) -> Callable[[Any, dict[str, Any]], list[str]]:
    """Finds the values of an image that are not of the column's type, and puts them into
    `values` as JSON.
    """
    own = [(name, attrgetter(fields.told[name])) for name in remainder.stray]

    def strays_of(decoded: Any, values: dict[str, Any]) -> list[str]:  # noqa: ANN401 (a struct)
        image: Image = {}
        for name, value_of in own:
            value = value_of(decoded)
            if value is not UNSET and hiding is not None:
                value = _hidden(hiding, name, value)
            if value is not None and value is not UNSET:
                image[name] = value
        found = remainder.strays(image)
        values.update((name, msgspec.json.encode(image[name])) for name in found)
        return found

    return strays_of


def _hide_members(
    hiding: MaskedAttributes, names: Sequence[str], values: dict[str, Any]
) -> list[str]:
    """The names without the dropped ones; what is hidden is put into `values` as JSON."""
    left = []
    for name in names:
        if name in hiding.attributes:
            value = hiding.value(name, _decode_value(values[name]))
            if value is None:
                continue
            values[name] = msgspec.json.encode(value)
        left.append(name)
    return left


def _member_texts(members: Sequence[bytes | memoryview], nul: OnNul) -> list[str | None]:
    """The plain JSON of values, None where there is none."""
    texts = plain_texts(members)
    for place in [place for place, text in enumerate(texts) if text is None]:
        try:
            texts[place] = json_text(_decode_value(members[place]), nul)
        except UNUSUAL:
            continue
    return texts


def _label(name: str) -> str | None:
    """The text before a member's value in a JSON object; None for names that jsonb cannot hold."""
    return None if "\0" in name else quote(name) + ":"
