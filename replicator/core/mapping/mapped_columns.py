"""A mapped column: where the value comes from, and the conversion to a cell. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from replicator.core.mapping.attribute_paths import compile_descent, written
from replicator.core.mapping.split_strings import Extract, Part, require_part
from replicator.core.mapping.target_table import Column
from replicator.core.stream_record import AttributeValue
from replicator.core.table_spec import ColumnSpec, Scalar
from replicator.core.values.cells import Cell
from replicator.core.values.column_types import ColumnType
from replicator.core.values.converters import Converter, compile_converter, usual_value
from replicator.core.values.row_builder import Step
from replicator.errors import ConfigurationError, ValueRejected

_TAGS = {
    "text": frozenset(["S"]),
    "numeric": frozenset(["N"]),
    "boolean": frozenset(["BOOL"]),
    "bytea": frozenset(["B"]),
    "jsonb": frozenset(["M", "L"]),
    "text[]": frozenset(["SS"]),
    "numeric[]": frozenset(["NS"]),
    "bytea[]": frozenset(["BS"]),
}
"""Type tags that a column which appeared with the attribute takes."""


@dataclass(frozen=True, slots=True)
class MappedColumn:
    """A column, compiled. `attribute` is the top-level attribute with the value that `convert`
    takes."""

    spec: ColumnSpec
    attribute: str
    convert: Converter
    takes_whole: bool

    @property
    def type(self) -> ColumnType:
        """The column's type."""
        return self.spec.type

    @property
    def written(self) -> Column:
        """The column as a part of the table."""
        filled = _stands_in(self.spec) or self.spec.constant is not None
        return Column(self.spec.name, self.type, filled)

    @property
    def tags(self) -> frozenset[str] | None:
        """The types that become cells where others stay in the rest; None: all are taken or
        rejected."""
        return None if self.spec.other_types == "reject" else _TAGS[self.type.sql]

    @property
    def step(self) -> Step:
        """The step that makes the column's cell of a row."""
        spec, usual = self.spec, None
        if self.takes_whole and not spec.transform and not _stands_in(spec):
            usual = usual_value(
                self.type,
                column=spec.name,
                time_format=spec.format,
                nul=spec.nul,
                fraction=spec.fraction,
            )
            usual = usual and replace(usual, alone=self.tags is not None)
        return Step(self.attribute, self.convert, usual)


def compile_column(spec: ColumnSpec, parts: Mapping[str, Part]) -> MappedColumn:
    """Compile a column; ConfigurationError says what to change."""
    if spec.constant is not None:
        cell = _fixed(spec, spec.constant, "constant")
        return MappedColumn(spec, "", lambda _: cell, takes_whole=False)
    if spec.part is not None:
        part = require_part(parts, spec.part, spec.name)
        convert = _part_converter(spec, part)
        column = MappedColumn(spec, part.attribute, convert, takes_whole=False)
    else:
        name, *inside = spec.path
        column = MappedColumn(spec, str(name), _path_converter(spec), takes_whole=not inside)
    if column.tags is not None:
        column = replace(column, convert=_only(column.tags, column.convert))
    if not _stands_in(spec):
        return column
    default = _fixed(spec, spec.default, "default")
    return replace(column, convert=_or_default(column.convert, default))


def _path_converter(spec: ColumnSpec) -> Converter:
    path = spec.path
    convert = compile_converter(
        spec.type,
        attribute=written(path) if len(path) > 1 else str(path[0]),
        column=spec.name,
        time_format=spec.format,
        on_invalid=spec.on_invalid,
        nul=spec.nul,
        transform=spec.transform,
        words=spec.words,
        fraction=spec.fraction,
    )
    return convert if len(path) == 1 else _after(compile_descent(path), convert)


def _part_converter(spec: ColumnSpec, part: Part) -> Converter:
    """The converter of a part, which is text; number types read a number from the text."""
    transform = spec.transform or (("number",) if spec.type.row.number else ())
    convert = compile_converter(
        spec.type,
        attribute=part.attribute,
        column=spec.name,
        time_format=spec.format,
        on_invalid=spec.on_invalid,
        nul=spec.nul,
        transform=transform,
        words=spec.words,
        fraction=spec.fraction,
    )
    extract = part.extract(spec.name)
    if spec.on_invalid == "null":
        extract = _or_none(extract)
    return _after(extract, convert)


def _or_none(extract: Extract) -> Extract:
    def extract_or_none(value: AttributeValue | None) -> AttributeValue | None:
        try:
            return extract(value)
        except ValueRejected:
            return None

    return extract_or_none


def _only(tags: frozenset[str], convert: Converter) -> Converter:
    def convert_own(value: AttributeValue | None) -> Cell:
        return convert(value) if value is not None and tags >= value.keys() else None

    return convert_own


def _after(first: Extract, convert: Converter) -> Converter:
    return lambda value: convert(first(value))


def _stands_in(spec: ColumnSpec) -> bool:
    """True when the column has a value for an absent attribute."""
    return spec.default is not None or spec.empty is not None


def _or_default(convert: Converter, default: Cell) -> Converter:
    def convert_or_default(value: AttributeValue | None) -> Cell:
        cell = convert(value)
        return default if cell is None else cell

    return convert_or_default


def _fixed(spec: ColumnSpec, scalar: Scalar | None, what: str) -> Cell:
    """The cell of a configured value, which must fit the column; None: the empty map or list."""
    value: AttributeValue
    match scalar:
        case None:
            value = {"M": {}} if spec.empty == "{}" else {"L": []}
        case bool():
            value = {"BOOL": scalar}
        case str():
            value = {"S": scalar}
        case _:
            value = {"N": str(scalar)}
    convert = compile_converter(
        spec.type,
        attribute=what,
        column=spec.name,
        time_format=spec.format,
        fraction=spec.fraction,
    )
    try:
        return convert(value)
    except ValueRejected as rejection:
        message = f"the {what} of column {spec.name!r} does not fit it: {rejection}"
        remedy = f"write a value of the type {spec.type.label}"
        raise ConfigurationError(message, remedy=remedy) from rejection
