"""A row as JSON: what PostgreSQL would hold, with every digit."""

import base64
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from replicator.core.mapping.target_table import TargetTable
from replicator.core.values.cells import Cell
from replicator.core.values.column_types import ColumnType

_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|(NULL)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def row_document(table: TargetTable, row: Sequence[Cell]) -> dict[str, Any]:
    """Column names and values: numbers as numbers, jsonb nested, times as text, bytes in base64."""
    return {
        column.name: _value(column.type, cell)
        for column, cell in zip(table.columns, row, strict=True)
    }


def _value(column_type: ColumnType, cell: Cell) -> object:
    if cell is None:
        return None
    if isinstance(cell, bytes):
        return base64.b64encode(cell).decode()
    if column_type.array:
        return [
            None if null else _value(column_type.element, _element(column_type, text))
            for text, null in _ELEMENT.findall(cell)
        ]
    return msgspec.Raw(cell.encode()) if column_type.row.json else cell


def _element(column_type: ColumnType, quoted: str) -> Cell:
    text = _ESCAPE.sub(r"\1", quoted)
    return bytes.fromhex(text.removeprefix(r"\x")) if column_type.name == "bytea" else text
