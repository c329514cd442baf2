"""Compiles a target's specification, checked once, into functions that make rows of items. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from replicator.core.mapping.child_tables import ChildTable, compile_child
from replicator.core.mapping.fingerprint import former_rows_digest, rows_digest, table_digest
from replicator.core.mapping.key_columns import KeyColumn, compile_key
from replicator.core.mapping.mapped_columns import MappedColumn, compile_column
from replicator.core.mapping.masking import Protection, compile_protection
from replicator.core.mapping.rest_column import Strays, no_strays, rest_in, strays_of, untaken_by
from replicator.core.mapping.routing import (
    UNMATCHED_POLICIES,
    Condition,
    compile_condition,
    with_catch_all,
)
from replicator.core.mapping.split_strings import compile_parts
from replicator.core.mapping.target_table import (
    DELETED_AT,
    DOCUMENT,
    Column,
    TargetTable,
    check_columns,
    parse_table_name,
)
from replicator.core.stream_record import Image
from replicator.core.table_spec import SourceKey, TableSpec, TargetSpec
from replicator.core.values.cells import Cell
from replicator.core.values.column_types import JSONB, TIMESTAMPTZ
from replicator.core.values.columnar_rows import (
    Children,
    MaskedAttributes,
    Remainder,
    Rest,
    UsualRows,
    compile_usual_rows,
)
from replicator.core.values.row_builder import (
    Row,
    RowOf,
    Step,
    TriedRow,
    Untaken,
    row_by_steps,
    tried_by_steps,
)
from replicator.errors import ConfigurationError, ValueRejected


@dataclass(frozen=True, slots=True, eq=False)
class TargetMapping:
    """A target, compiled. `fingerprint` changes exactly when the rows could; `former_fingerprint`
    is the name in an earlier version.

    Rows and keys hold cells in the order of `table.columns`; `transports` tells for each column
    text or bytes.
    """

    spec: TargetSpec
    table: TargetTable
    name: str
    """The target in labels and messages."""
    fingerprint: str
    former_fingerprint: str
    condition: Condition
    """Tells which items belong to the target."""
    row_of: RowOf
    """The cells of all columns; ValueRejected, naming attribute and column."""
    _key: tuple[KeyColumn, ...]
    _tried: TriedRow
    usual_rows: UsualRows | None
    """`row_of` and `unmapped` of many new images in less time, where possible."""
    _untaken: Untaken
    _keeps_rest: bool
    children: tuple[ChildTable, ...] = ()
    _strays: Strays = no_strays
    history_table: tuple[str, str] | None = None
    """Schema and name of the table of the changes."""
    history: str | None = None
    """The table of the changes, in labels and messages."""

    @property
    def tables(self) -> tuple[tuple[str, str], ...]:
        """Schema and name of every table that the target writes."""
        rows = [(table.schema, table.name) for table in self.row_tables]
        return (*rows, *([self.history_table] if self.history_table else ()))

    @property
    def row_tables(self) -> tuple[TargetTable, ...]:
        """The target and the child tables."""
        return (self.table, *(child.table for child in self.children))

    @property
    def transports(self) -> tuple[str, ...]:
        """Transport of each column's cells: "text" or "bytea"."""
        return tuple(column.type.transport for column in self.table.columns)

    def key_of(self, keys: Image) -> Row:
        """The cells of the key columns, without None; ValueRejected."""
        return tuple([column.cell(keys.get(column.attribute)) for column in self._key])

    def item_keys(self, key: Row) -> Image:
        """The key of the item that a row with the key comes from: the way back of `key_of`."""
        keys: Image = {}
        parts: dict[str, dict[str, str]] = {}
        for column, cell in zip(self._key, key, strict=True):
            if column.part is None:
                keys[column.attribute] = column.value_of(cell)
            else:
                cut = parts.setdefault(column.attribute, {})
                cut[column.part.name] = str(cell)
                if len(cut) == len(column.part.pattern.parts):
                    keys[column.attribute] = {"S": column.part.pattern.join(cut)}
        return keys

    def try_columns(self, keys: Image, image: Image) -> Iterator[tuple[str, Cell | ValueRejected]]:
        """Every column that an item fills, with the cell or the reason for a rejection."""
        tried = self._tried(keys, image)
        yield from zip((column.name for column in self.table.columns), tried, strict=False)

    def children_of(self, row: Row, image: Image) -> Children:
        """For each child table the rows of the item that has the row; ValueRejected."""
        if not self.children:
            return ()
        key = row[: len(self.table.key)]
        return tuple(child.rows_of(key, image) for child in self.children)

    def candidates(self, image: Image) -> Mapping[str, str]:
        """The attributes of the rest that could be columns of their own, with the types."""
        if not self.spec.auto:
            return {}
        names = [*self._untaken(image), *self._strays(image)]
        return {name: next(iter(image[name]), "") for name in names}

    def unmapped(self, image: Image) -> list[str]:
        """The top-level attributes that nothing takes whole; none when a column takes the rest."""
        return [] if self._keeps_rest else self._untaken(image)


@dataclass(frozen=True, slots=True, eq=False)
class TableMapping:
    """One source table and all the targets, compiled."""

    spec: TableSpec
    source_key: SourceKey
    targets: tuple[TargetMapping, ...]
    fingerprint: str
    """Changes with everything that can change what is written."""
    takes_everything: bool
    """True when every item belongs to at least one target."""
    protection: Protection | None = None
    """Hides personal data: every image passes here before any other use."""
    table_arn: str | None = None
    """The DynamoDB table's name in all of AWS; None: not described yet."""


def compile_table(
    spec: TableSpec, source_key: SourceKey, *, table_arn: str | None = None
) -> TableMapping:
    """Compile all targets of a source table; ConfigurationError says what to change."""
    protection = compile_protection(spec, source_key)
    targets = tuple(
        compile_target(target, source_key, protection, spec) for target in with_catch_all(spec)
    )
    seen: set[tuple[str, str]] = set()
    for target in targets:
        for table in target.tables:
            if table in seen:
                raise ConfigurationError(
                    f"table {spec.name} writes the target {'.'.join(table)} twice",
                    remedy="one target table has one entry: use `any` in its `when`",
                )
            seen.add(table)
    made = {target.name: (target.fingerprint, target.spec) for target in targets}
    takes_everything = spec.unmatched not in UNMATCHED_POLICIES or any(
        target.spec.when is None for target in targets
    )
    return TableMapping(
        spec,
        source_key,
        targets,
        table_digest(spec, made),
        takes_everything,
        protection,
        table_arn,
    )


def compile_target(
    spec: TargetSpec,
    source_key: SourceKey,
    protection: Protection | None = None,
    entry: TableSpec | None = None,
) -> TargetMapping:
    """Compile one target of an entry; ConfigurationError says what to change.

    `protection` is what the `usual_rows` hide; the others get images that are treated already.
    """
    try:
        return _compile_target(spec, source_key, protection, entry)
    except ConfigurationError as error:
        message = f"target {spec.target}: {error}"
        raise ConfigurationError(message, remedy=error.remedy) from error


def _compile_target(
    spec: TargetSpec,
    source_key: SourceKey,
    protection: Protection | None,
    entry: TableSpec | None,
) -> TargetMapping:
    parts = compile_parts(spec.split)
    key = compile_key(spec, source_key, parts)
    columns = [compile_column(column, parts) for column in spec.columns or ()]
    remainder = DOCUMENT if spec.columns is None else spec.rest
    key_attributes = [attribute for attribute, _ in source_key.attributes]
    table = _table(spec, key, columns, remainder)
    history = None if spec.history is None else parse_table_name(spec.history)
    children = tuple(compile_child(child, table) for child in spec.children)
    whole = [column.attribute for column in columns if column.takes_whole]
    whole += [child.attribute for child in children if child.takes_whole]
    untaken = untaken_by([*key_attributes, *whole])
    steps = [*(column.step for column in key), *(column.step for column in columns)]
    tail = (None,) if table.soft else ()
    strays = strays_of(columns)
    rest_of = None if remainder is None else rest_in(remainder, untaken, strays, spec.nul)
    rest: Rest = "dropped" if remainder is None else "exceptional" if spec.auto else "kept"
    stray = tuple(column.attribute for column in columns if column.tags is not None)
    usual = compile_usual_rows(
        steps if protection is None else [_protected(step, protection) for step in steps],
        keys=key_attributes,
        remainder=Remainder(rest, untaken, strays, stray, spec.nul),
        tail=tail,
        hiding=None
        if protection is None
        else MaskedAttributes(protection.attributes, protection.value),
        children=[(child.attribute, child.rows_of) for child in children],
        key_width=len(table.key),
    )
    return TargetMapping(
        spec=spec,
        table=table,
        name=table.qualified,
        fingerprint=rows_digest(spec, table.place, source_key, key, entry),
        former_fingerprint=former_rows_digest(spec, table.place, source_key, key, entry),
        condition=compile_condition(spec.when, key_attributes),
        row_of=row_by_steps(steps, rest_of=rest_of, tail=tail),
        _key=key,
        _tried=tried_by_steps(steps, rest_of=rest_of),
        usual_rows=usual,
        _untaken=untaken,
        _keeps_rest=remainder is not None,
        children=children,
        _strays=strays,
        history_table=history,
        history=None if history is None else ".".join(history),
    )


def _protected(step: Step, protection: Protection) -> Step:
    """The step with personal data hidden in the value."""
    name, convert = step.attribute, step.convert
    if name not in protection.attributes:
        return step
    hide = partial(protection.value, name)
    as_json = step.usual is not None and step.usual.tag == "M"
    return Step(
        name,
        lambda value: convert(None if value is None else hide(value)),
        step.usual if as_json else None,
        hide=hide if as_json else None,
    )


def _table(
    spec: TargetSpec,
    key: tuple[KeyColumn, ...],
    columns: list[MappedColumn],
    remainder: str | None,
) -> TargetTable:
    schema, name = parse_table_name(spec.target)
    soft = "soft" in (spec.on_delete, spec.on_expire)
    written = [
        *(Column(column.name, column.type) for column in key),
        *(column.written for column in columns),
        *([Column(remainder, JSONB, filled=True)] if remainder is not None else []),
    ]
    check_columns([column.name for column in written], soft=soft)
    if soft:
        written.append(Column(DELETED_AT, TIMESTAMPTZ))
    return TargetTable(schema, name, tuple(column.name for column in key), tuple(written), soft)
