"""Child tables: the elements of a list, set or map of an item as rows of a table. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from replicator.core.mapping.attribute_paths import Descent, compile_descent, written
from replicator.core.mapping.mapped_columns import MappedColumn, compile_column
from replicator.core.mapping.target_table import (
    Column,
    TargetTable,
    check_columns,
    parse_table_name,
)
from replicator.core.stream_record import AttributeValue, Image
from replicator.core.table_spec import ChildSpec
from replicator.core.values.cells import Cell, Unfit
from replicator.core.values.column_types import INTEGER, JSONB, TEXT
from replicator.core.values.converters import Converter, compile_converter
from replicator.core.values.dynamodb_json import TYPES, label, sorted_members
from replicator.core.values.json_text import json_object
from replicator.core.values.row_builder import Row
from replicator.errors import ConfigurationError, ValueRejected

ROWS_SIZE_MAX = 32 * 1024 * 1024
"""Characters of the rows of one item in one child table. Every row repeats the parent's key, so
that an item of 400 KB could become hundreds of megabytes, which no worker has room for."""
_SETS = {"SS": "S", "NS": "N", "BS": "B"}


@dataclass(frozen=True, slots=True, eq=False)
class ChildTable:
    """A child table, compiled. The key is the parent's and the element's position or map key.

    `attribute` is the top-level attribute, taken whole if `takes_whole`.
    """

    spec: ChildSpec
    table: TargetTable
    attribute: str
    takes_whole: bool
    _descend: Descent
    _place: Converter
    _columns: tuple[MappedColumn, ...]
    _value: Converter | None
    _taken: frozenset[str]

    @property
    def transports(self) -> tuple[str, ...]:
        """Transport of each column's cells: "text" or "bytea"."""
        return tuple(column.type.transport for column in self.table.columns)

    def rows_of(self, parent: Row, image: Image) -> list[Row]:
        """The rows of the item behind the row with the key; ValueRejected, naming the element."""
        rows: list[Row] = []
        size, own = 0, sum(len(cell) for cell in parent if cell is not None)
        for place, element in self._elements(self._descend(image.get(self.attribute))):
            inside = f"[{place}]" if self.spec.map_key is None else f".{label(place)}"
            try:
                cells = [self._place({"S": place}), *self._cells(element)]
            except ValueRejected as rejection:
                raise self._rejected(inside, rejection) from rejection
            except Unfit as unfit:
                attribute = self._label + inside + unfit.inside
                raise ValueRejected(
                    unfit.reason, attribute=attribute, column=f"{self.table.qualified}"
                ) from unfit
            size += own + sum(len(cell) for cell in cells if cell is not None)
            if size > ROWS_SIZE_MAX:
                reason = f"becomes rows of more than {ROWS_SIZE_MAX >> 20} MB, each with its key"
                raise ValueRejected(reason, attribute=self._label, column=f"{self.table.qualified}")
            rows.append((*parent, *cells))
        return rows

    @property
    def _label(self) -> str:
        return label(written(self.spec.path))

    def _rejected(self, inside: str, rejection: ValueRejected) -> ValueRejected:
        reason = str(rejection).partition(": ")[2]
        own = rejection.attribute if self._value is None else ""
        attribute = self._label + inside + (f".{own}" if own else "")
        column = f"{self.table.qualified}.{rejection.column}"
        return ValueRejected(reason, attribute=attribute, column=column)

    def _elements(self, value: AttributeValue | None) -> Iterator[tuple[str, AttributeValue]]:
        if value is not None and not isinstance(value, dict):
            raise ValueRejected("is not a typed value", attribute=self._label, column=None)
        if value is None or "NULL" in value:
            return
        match value, self.spec.map_key:
            case {"L": list(elements)}, None:
                for place, element in enumerate(elements):
                    yield str(place), element
            case {"M": dict(members)}, str():
                yield from members.items()
            case _, None if (tag := next(iter(value), "")) in _SETS:
                for place, member in enumerate(self._members(tag, value[tag])):
                    yield str(place), {_SETS[tag]: member}
            case _:
                kind = TYPES.get(next(iter(value), ""), "a value of no known type")
                wanted = "a list or a set" if self.spec.map_key is None else "a map"
                reason = f"is {kind}, and the rows of {self.table.qualified} come from {wanted}"
                raise ValueRejected(reason, attribute=self._label, column=None)

    def _members(self, tag: str, raw: Any) -> Sequence[str]:  # noqa: ANN401 (a wire value)
        try:
            return sorted_members(tag, raw)
        except (Unfit, AttributeError, TypeError) as error:
            reason = error.reason if isinstance(error, Unfit) else "is not of the shape of its type"
            raise ValueRejected(reason, attribute=self._label, column=None) from error

    def _cells(self, element: Any) -> list[Cell]:  # noqa: ANN401 (it may have no type)
        if self._value is not None:
            return [self._value(element)]
        members: Any = element.get("M") if isinstance(element, dict) else None
        if not isinstance(members, dict):
            raise Unfit("is not a map, and has no `value` column")
        cells: list[Cell] = [c.convert(members.get(c.attribute)) for c in self._columns]
        if self.spec.rest is not None:
            left = {name: members[name] for name in members if name not in self._taken}
            cells.append(json_object(left))
        return cells


def compile_child(spec: ChildSpec, parent: TargetTable) -> ChildTable:
    """Compile a child table; ConfigurationError says what to change."""
    path = spec.path
    columns = tuple(compile_column(column, {}) for column in spec.columns)
    by_position = spec.map_key is None
    name = spec.position if spec.map_key is None else spec.map_key
    place = Column(name, INTEGER if by_position else TEXT)
    written = [
        *parent.columns[: len(parent.key)],
        place,
        *(column.written for column in columns),
    ]
    value = None
    if spec.value is not None:
        if columns or spec.rest is not None:
            raise ConfigurationError(
                f"child table {spec.target} has `value` beside `columns` or `rest`",
                remedy="`value` is for elements that are no maps: keep one of them",
            )
        column = compile_column(spec.value, {})
        written.append(column.written)
        value = column.convert
    elif spec.rest is not None:
        written.append(Column(spec.rest, JSONB, filled=True))
    check_columns([column.name for column in written], soft=False)
    schema, table = parse_table_name(spec.target)
    key = (*parent.key, name)
    return ChildTable(
        spec=spec,
        table=TargetTable(schema, table, key, tuple(written)),
        attribute=str(path[0]),
        takes_whole=len(path) == 1,
        _descend=compile_descent(path),
        _place=_place_converter(name, by_position=by_position),
        _columns=columns,
        _value=value,
        _taken=frozenset(column.attribute for column in columns if column.takes_whole),
    )


def _place_converter(name: str, *, by_position: bool) -> Converter:
    if by_position:
        return lambda value: None if value is None else str(value["S"])
    return compile_converter(TEXT, attribute="", column=name, key=True)
