"""Everything that can change what is written is in a fingerprint; what is not has a reason."""

from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest

from replicator.core.mapping.attribute_paths import parse_path
from replicator.core.mapping.compile_mapping import compile_table
from replicator.core.mapping.fingerprint import LEFT_OUT, POLICIES, rows_digest, table_digest
from replicator.core.mapping.key_columns import compile_key
from replicator.core.mapping.split_strings import compile_parts
from replicator.core.mapping.target_table import parse_table_name
from replicator.core.table_spec import (
    ChildSpec,
    ColumnSpec,
    KeyColumnSpec,
    SourceKey,
    TableSpec,
    TargetSpec,
)
from replicator.core.values.column_types import parse_type
from tests.support.specs import child_spec, column_spec, key_column_spec

SOURCE = SourceKey((("pk", "S"), ("sk", "S")))
SKU = column_spec("sku", "sku", "text")
LINES = child_spec("public.lines", "lines", (SKU,))
TAG = column_spec("tag", "tag", "text")
TAGS = child_spec("public.tags", "tags", value=TAG)
TOTAL = column_spec("total", "total", "numeric(12,2)")
NOTE = column_spec("note", "note", "text")
WHO, AREA, NUMBER = (
    key_column_spec("who", "pk"),
    key_column_spec("area", "sk", part="area"),
    key_column_spec("number", "sk", part="number"),
)
ORDERS = TargetSpec(
    "public.orders",
    key=(WHO, AREA, NUMBER),
    columns=(TOTAL, NOTE),
    rest="extra",
    split=(("sk", "{area}#{number}"),),
    children=(LINES, TAGS),
)
TABLE = TableSpec(
    "orders", "orders", (ORDERS,), personal=(("email", "hash"),), salt=b"sixteen bytes or more"
)

COLUMN: dict[str, list[Any]] = {
    "name": ["other"],
    "path": [("other",)],
    "type": [parse_type("jsonb")],
    "format": ["epoch_s", "epoch_ms"],
    "on_invalid": ["null"],
    "nul": ["strip", "replace"],
    "constant": [1, "1", Decimal(1), "", False],
    "default": [1, "1", Decimal(1), "", False],
    "empty": ["{}", "[]"],
    "transform": [("trim",), ("lower", "trim"), ("trim", "lower")],
    "fraction": ["truncate"],
    "words": [(("Y", True),), (("Y", False),)],
    "part": ["area"],
    "other_types": ["rest"],
}
CHILD: dict[str, list[Any]] = {
    "target": ["public.other"],
    "path": [("other",)],
    "position": ["place"],
    "map_key": ["name"],
    "rest": ["extra"],
}
OTHERS: dict[object, dict[str, list[Any]]] = {
    TABLE: {
        "targets": [(replace(ORDERS, target="public.b"),), ()],
        "unmatched": ["dead_letter", "public.orders"],
        "expire_attribute": ["expires"],
        "personal": [(("email", "mask"),), ()],
        "salt": [b"another sixteen bytes or more"],
        "kinesis": ["arn:aws:kinesis:us-east-1:123456789012:stream/orders"],
        "kinesis_base64": ["once"],
    },
    ORDERS: {
        "target": ["public.other"],
        "when": [{"a": 1}, {"a": "1"}, {"a": Decimal(1)}, {"a": None}, {"a": {"in": [1, 2]}}],
        "key": [
            None,
            (WHO, key_column_spec("other", "sk")),
            (replace(WHO, attribute="sk"), key_column_spec("other", "pk")),
            (WHO, replace(AREA, part="number"), replace(NUMBER, part="area")),
        ],
        "columns": [(), (TOTAL,), None],
        "rest": [None, "other"],
        "on_delete": ["soft", "ignore"],
        "on_expire": ["soft", "ignore"],
        "existing_rows": ["keep", "delete"],
        "on_error": ["halt"],
        "history": ["public.h"],
        "split": [(("sk", "{area}/{number}"),)],
        "nul": ["strip", "replace"],
        "children": [(), (LINES,)],
        "auto": [True],
    },
    WHO: {"name": ["other"], "type": [parse_type("varchar(9)")]},
    AREA: {"name": ["other"], "type": [parse_type("date")]},
    TOTAL: COLUMN,
    SKU: COLUMN,
    TAG: COLUMN,
    LINES: {**CHILD, "columns": [(), (NOTE,)], "value": [NOTE]},
    TAGS: {**CHILD, "columns": [(NOTE,)], "value": [None, NOTE]},
}
"""Parts of the table above, and for each of their fields other values, any two of which differ."""

CHANGES = [
    (part, field, values) for part, others in OTHERS.items() for field, values in others.items()
]


def replaced(node: Any, old: object, new: object) -> Any:
    """The node with one part of it, wherever it is, changed."""
    if node is old:
        return new
    if isinstance(node, tuple):
        return tuple(replaced(member, old, new) for member in node)
    if isinstance(node, TableSpec | TargetSpec | ChildSpec):
        new_fields = {
            field.name: replaced(getattr(node, field.name), old, new) for field in fields(node)
        }
        return replace(node, **new_fields)
    return node


def digest(table: TableSpec) -> str:
    made = {}
    for target in table.targets:
        key = compile_key(target, SOURCE, compile_parts(target.split))
        made[".".join(parse_table_name(target.target))] = (
            rows_digest(target, parse_table_name(target.target), SOURCE, key, table),
            target,
        )
    return table_digest(table, made)


@pytest.mark.parametrize(
    ("part", "field", "values"),
    CHANGES,
    ids=[f"{type(part).__name__}-{f}" for part, f, _ in CHANGES],
)
def test_a_field_that_says_something_else_changes_the_fingerprint(
    part: Any, field: str, values: list[Any]
):
    changed = [replaced(TABLE, part, replace(part, **{field: value})) for value in values]
    made = {digest(TABLE), *map(digest, changed)}

    assert len(made) == 1 + len(values)


def test_every_field_of_a_specification_is_in_the_fingerprint_or_has_a_reason():
    tried = {(type(part), field) for part, others in OTHERS.items() for field in others}
    tried |= {(KeyColumnSpec, "attribute"), (KeyColumnSpec, "part")}  # as keys of the target
    parts = (TableSpec, TargetSpec, KeyColumnSpec, ColumnSpec, ChildSpec)
    known = {(part, field.name) for part in parts for field in fields(part)}

    assert known - tried == {(TableSpec, name) for name in LEFT_OUT} - tried
    assert {name for part, name in known if part is TableSpec} >= LEFT_OUT.keys()
    assert {name for part, name in known if part is TargetSpec} >= POLICIES.keys()
    assert all([*LEFT_OUT.values(), *POLICIES.values()])


def test_a_field_that_somebody_adds_is_in_the_fingerprint_without_being_named(
    monkeypatch: pytest.MonkeyPatch,
):
    """Fields are walked: of those that exist, one that no list names stands for the next one."""
    monkeypatch.setattr("replicator.core.mapping.fingerprint.POLICIES", {})
    rows = [
        rows_digest(target, ("public", "orders"), SOURCE, (), None)
        for target in (ORDERS, replace(ORDERS, history="h"))
    ]

    assert len(set(rows)) == 2


@pytest.mark.parametrize("field", sorted(LEFT_OUT.keys() - {"targets", "personal", "salt"}))
def test_what_is_left_out_changes_no_fingerprint(field: str):
    others: dict[str, Any] = {"on_gap": "continue", "initial_load": "none", "poller": "lambda"}

    assert digest(replace(TABLE, **{field: others.get(field, 7)})) == digest(TABLE)


@pytest.mark.parametrize(
    "target",
    [
        replace(ORDERS, history="public.h"),
        replace(ORDERS, on_error="halt"),
    ],
)
def test_a_policy_changes_the_fingerprint_of_the_table_and_of_no_row(target: TargetSpec):
    before, after = (
        compile_table(replace(TABLE, targets=(spec,)), SOURCE) for spec in (ORDERS, target)
    )

    assert before.fingerprint != after.fingerprint
    assert before.targets[0].fingerprint == after.targets[0].fingerprint


def test_order_and_spelling_change_nothing():
    spelled = replace(
        ORDERS,
        target='"public".orders',
        columns=(
            NOTE,
            replace(TOTAL, type=parse_type("decimal(12, 2)"), path=parse_path('"total"')),
        ),
        children=(TAGS, LINES),
        key=(NUMBER, WHO, AREA),
    )

    assert digest(replace(TABLE, targets=(spelled,))) == digest(TABLE)


def test_what_earlier_versions_called_a_mapping_is_known():
    """Made by the version before from a file: whoever has it in a database loads nothing anew."""
    [target] = compile_table(TABLE, SOURCE).targets

    assert target.former_fingerprint == (
        "55f13a795b3f5a35a006884f32ae5628eb73782dd73c7b95de39cbab634d6cdf"
    )
    assert target.former_fingerprint != target.fingerprint


def test_a_fingerprint_is_the_same_in_every_process_and_release():
    assert compile_table(TABLE, SOURCE).fingerprint == digest(TABLE)
    assert digest(TABLE) == "1912d99192f905c5fd0f72a1b8e953b53512d6b8f48080f4f34a3d774c63c7da"
