"""Targets compiled, and items turned into rows."""

import json
from dataclasses import replace

import pytest

from replicator.core.mapping.attribute_paths import parse_path
from replicator.core.mapping.compile_mapping import compile_table, compile_target
from replicator.core.table_spec import (
    SourceKey,
    TableSpec,
    TargetSpec,
)
from replicator.core.values.column_types import parse_type
from replicator.errors import ConfigurationError, ValueRejected
from tests.support.specs import column_spec, key_column_spec

SOURCE = SourceKey((("pk", "S"), ("sk", "S")))
KEYS = {"pk": {"S": "C1"}, "sk": {"S": "ORDER#1"}}
COLUMNS = (
    column_spec("customer", "customer.name", "text"),
    column_spec("total", "total", "numeric(12,2)"),
    column_spec("placed", "placedAt", "timestamptz", format="epoch_ms"),
)
ORDERS = TargetSpec(
    "public.orders",
    key=(key_column_spec("order_id", "pk"), key_column_spec("line", "sk")),
    columns=COLUMNS,
    rest="extra",
)


def image(**attributes):
    return {**KEYS, **attributes}


def row(spec, attributes, source=SOURCE):
    target = compile_target(spec, source)
    names = [column.name for column in target.table.columns]
    return dict(zip(names, target.row_of(KEYS, image(**attributes)), strict=True))


def test_an_item_becomes_a_row_of_key_columns_and_rest():
    customer = {"M": {"name": {"S": "Ann"}, "tier": {"N": "3"}}}
    attributes = {
        "customer": customer,
        "total": {"N": "12.50"},
        "placedAt": {"N": "1700000000000"},
        "note": {"NULL": True},
    }

    assert row(ORDERS, attributes) == {
        "order_id": "C1",
        "line": "ORDER#1",
        "customer": "Ann",
        "total": "12.5",
        "placed": "2023-11-14T22:13:20+00:00",
        "extra": '{"customer":{"name":"Ann","tier":3},"note":null}',
    }


def test_absent_attributes_are_null_and_an_empty_rest_is_an_empty_object():
    assert row(ORDERS, {}) == {
        "order_id": "C1",
        "line": "ORDER#1",
        "customer": None,
        "total": None,
        "placed": None,
        "extra": "{}",
    }


def test_the_table_has_the_key_first_then_columns_rest_and_the_time_of_deletion():
    table = compile_target(replace(ORDERS, on_expire="soft"), SOURCE).table

    assert table.qualified == "public.orders"
    assert table.key == ("order_id", "line")
    assert [(column.name, column.type.sql) for column in table.columns] == [
        ("order_id", "text"),
        ("line", "text"),
        ("customer", "text"),
        ("total", "numeric(12,2)"),
        ("placed", "timestamptz"),
        ("extra", "jsonb"),
        ("_deleted_at", "timestamptz"),
    ]
    assert table.soft


def test_a_written_row_is_not_deleted():
    assert row(replace(ORDERS, on_delete="soft"), {})["_deleted_at"] is None


def test_document_mode_has_all_attributes_but_the_key_in_data():
    target = compile_target(TargetSpec("docs", rest="ignored here"), SOURCE)

    cells = target.row_of(KEYS, image(a={"N": "1.0"}, b={"B": "AAE="}))

    assert [column.name for column in target.table.columns] == ["pk", "sk", "data"]
    assert cells == ("C1", "ORDER#1", '{"a":1,"b":"AAE="}')
    assert target.name == "public.docs"
    assert target.unmapped(image(a={"N": "1"})) == []


def test_the_default_key_has_the_names_and_types_of_the_key_attributes():
    source = SourceKey((("id", "N"), ("part", "B")))
    target = compile_target(TargetSpec("t"), source)

    assert [column.type.sql for column in target.table.columns] == ["numeric", "bytea", "jsonb"]
    assert target.transports == ("text", "bytea", "text")
    assert target.key_of({"id": {"N": "1E0"}, "part": {"B": "AAE="}}) == ("1", b"\0\x01")


def test_a_column_may_repeat_a_key_attribute():
    spec = replace(ORDERS, columns=(column_spec("copy", "pk", "text"),), rest=None)

    assert row(spec, {})["copy"] == "C1"


def test_without_rest_what_no_column_takes_whole_is_drift():
    target = compile_target(replace(ORDERS, rest=None), SOURCE)
    item = image(
        customer={"M": {}}, total={"N": "1"}, new={"S": ""}, **{"aws:rep:deleting": {"BOOL": False}}
    )

    assert target.unmapped(item) == ["customer", "new"]
    assert compile_target(ORDERS, SOURCE).unmapped(item) == []


def test_what_global_tables_of_2017_add_is_not_data():
    legacy = {"aws:rep:updatetime": {"N": "1"}, "aws:rep:updateregion": {"S": "x"}}

    assert row(ORDERS, legacy)["extra"] == "{}"
    assert row(TargetSpec("docs"), legacy)["data"] == "{}"


def test_names_that_differ_only_in_case_or_quotes_stay_apart_in_rest():
    names = {"Name": {"N": "1"}, "name": {"N": "2"}, 'na"me': {"N": "3"}, "n" * 65_535: {"N": "4"}}

    assert json.loads(row(ORDERS, names)["extra"]) == {
        "Name": 1,
        "name": 2,
        'na"me': 3,
        "n" * 65_535: 4,
    }


@pytest.mark.parametrize(
    ("attributes", "place"),
    [
        ({"total": {"N": "1.005"}}, "attribute 'total', column 'total'"),
        ({"customer": {"M": {"name": {"L": []}}}}, "attribute 'customer.name', column 'customer'"),
        ({"customer": {"X": {}}}, "attribute 'customer.name', column 'customer': has an unknown"),
        ({"other": {"S": "\0"}}, "attribute 'other', column 'extra': holds a NUL"),
        ({"other": {"M": {"a": {}}}}, "attribute 'other.a', column 'extra': has no type tag"),
        ({"bad\0": {"S": ""}}, "column 'extra': the name holds a NUL"),
    ],
)
def test_a_rejection_names_attribute_and_column(attributes, place):
    with pytest.raises(ValueRejected) as rejection:
        row(ORDERS, attributes)

    assert place in str(rejection.value)


def test_a_rejection_names_every_attribute_that_does_not_fit():
    columns = tuple(column_spec(f"c{n:02}", f"c{n:02}", "bigint") for n in range(13))
    wide = TargetSpec("public.t", columns=columns)

    def reason(*names: str) -> str:
        with pytest.raises(ValueRejected) as rejection:
            row(wide, {name: {"S": "x"} for name in names})
        return str(rejection.value)

    assert reason("c01") == ("attribute 'c01', column 'c01': a string does not convert to bigint")
    assert reason("c01", "c02") == (
        "attribute 'c01', column 'c01': a string does not convert to bigint; "
        "attribute 'c02', column 'c02': a string does not convert to bigint"
    )
    assert reason(*(f"c{n:02}" for n in range(13))).count("column 'c") == 10
    assert reason(*(f"c{n:02}" for n in range(13))).endswith("; and 3 more")


def test_a_rejection_stays_short_when_a_name_has_64_kilobytes():
    with pytest.raises(ValueRejected) as rejection:
        row(ORDERS, {"n" * 65_535: {}})

    assert len(str(rejection.value)) < 300


@pytest.mark.parametrize("keys", [{}, {**KEYS, "pk": {}}, {**KEYS, "pk": {"S": "a\0"}}])
def test_a_key_that_is_missing_or_does_not_convert_is_rejected(keys):
    target = compile_target(ORDERS, SOURCE)

    with pytest.raises(ValueRejected, match="attribute 'pk', column 'order_id'"):
        target.key_of(keys)
    with pytest.raises(ValueRejected, match="attribute 'pk', column 'order_id'"):
        target.row_of(keys, image())


def test_conditions_are_the_targets():
    target = compile_target(replace(ORDERS, when={"sk": {"begins_with": "ORDER#"}}), SOURCE)

    assert target.condition.matches(KEYS, None)
    assert not target.condition.matches({**KEYS, "sk": {"S": "LINE#1"}}, image())
    assert target.condition.on_keys_only
    assert not compile_target(replace(ORDERS, when={"kind": "x"}), SOURCE).condition.on_keys_only


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        *[("S", name) for name in ("text", "varchar(10)", "uuid", "date")],
        *[("N", name) for name in ("numeric", "numeric(10,2)", "bigint", "integer", "smallint")],
        *[("N", name) for name in ("text", "varchar(40)")],
        ("B", "bytea"),
    ],
)
def test_a_key_column_of_a_type_that_keeps_keys_apart_is_taken(kind, written):
    spec = TargetSpec("t", key=(key_column_spec("id", "id", written),))

    assert compile_target(spec, SourceKey((("id", kind),))).table.columns[0].type.sql == written


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        *[("S", name) for name in ("timestamptz", "timestamp", "jsonb", "bytea", "numeric")],
        *[("N", name) for name in ("double precision", "timestamptz", "date", "numeric[]")],
        *[("B", name) for name in ("text", "jsonb", "bytea[]")],
    ],
)
def test_a_key_column_of_a_type_that_could_merge_keys_is_refused(kind, written):
    spec = TargetSpec("t", key=(key_column_spec("id", "id", written),))

    with pytest.raises(ConfigurationError, match="could become one") as refusal:
        compile_target(spec, SourceKey((("id", kind),)))
    assert "use one of" in str(refusal.value.remedy)


def columns(*names):
    return tuple(column_spec(name, "a", "text") for name in names)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (replace(ORDERS, key=(key_column_spec("a", "pk"),)), "the key leaves out sk"),
        (replace(ORDERS, key=()), "the key leaves out pk, sk"),
        (replace(ORDERS, key=(key_column_spec("a", "total"),)), "not part of the item's key"),
        (replace(ORDERS, columns=columns("line")), "'line' and 'line' are one name"),
        (replace(ORDERS, columns=columns("extra")), "'extra' and 'extra' are one name"),
        (replace(ORDERS, columns=columns("Name", "name")), "'Name' and 'name' are one name"),
        (replace(ORDERS, columns=columns("é" * 32)), "longer than 63 bytes"),
        (replace(ORDERS, columns=columns("")), "is empty"),
        (replace(ORDERS, columns=columns("a\0")), "NUL"),
        (replace(ORDERS, columns=columns("\ud83d")), "not Unicode"),
        (replace(ORDERS, columns=columns("xmin")), "PostgreSQL's own columns"),
        (replace(ORDERS, columns=columns(*(f"c{n}" for n in range(500)))), "500 is the limit"),
        (
            replace(ORDERS, on_delete="soft", columns=columns("_deleted_at")),
            "belongs to the soft delete",
        ),
        (
            TargetSpec("t", key=(key_column_spec("data", "pk"), key_column_spec("b", "sk"))),
            "'data' and 'data' are one name",
        ),
        (
            replace(ORDERS, columns=(column_spec("c", "a", "text", format="epoch_s"),)),
            "'c' of type text has the format",
        ),
        (replace(ORDERS, target="a.b.c"), "no table name"),
        (replace(ORDERS, target=""), "no table name"),
        (replace(ORDERS, target="public." + "x" * 64), "longer than 63 bytes"),
        (replace(ORDERS, when={"sk": {"start": "x"}}), "unknown operator 'start'"),
    ],
)
def test_a_target_that_could_not_work_is_refused(spec, message):
    with pytest.raises(ConfigurationError) as refusal:
        compile_target(spec, SOURCE)

    assert message in str(refusal.value)
    assert str(refusal.value).startswith(f"target {spec.target}: ")
    assert refusal.value.remedy


def test_63_bytes_of_name_are_not_too_many():
    spec = replace(ORDERS, columns=columns("x" * 63))

    assert compile_target(spec, SOURCE).table.columns[2].name == "x" * 63


@pytest.mark.parametrize(
    ("written", "schema", "name"),
    [
        ("orders", "public", "orders"),
        ("sales.Orders", "sales", "Orders"),
        ('"odd.schema"."odd ""name"""', "odd.schema", 'odd "name"'),
    ],
)
def test_a_table_name_may_be_qualified_and_quoted(written, schema, name):
    table = compile_target(replace(ORDERS, target=written), SOURCE).table

    assert (table.schema, table.name) == (schema, name)


def fingerprint(spec, source=SOURCE):
    return compile_target(spec, source).fingerprint


CHANGED = [
    replace(ORDERS, target="public.other"),
    replace(ORDERS, rest=None),
    replace(ORDERS, rest="other"),
    replace(ORDERS, columns=None),
    replace(ORDERS, columns=COLUMNS[1:]),
    replace(ORDERS, columns=(replace(COLUMNS[0], path=("customer", "id")), *COLUMNS[1:])),
    replace(ORDERS, columns=(replace(COLUMNS[0], nul="strip"), *COLUMNS[1:])),
    replace(ORDERS, columns=(replace(COLUMNS[0], on_invalid="null"), *COLUMNS[1:])),
    replace(ORDERS, columns=(replace(COLUMNS[0], type=parse_type("varchar(9)")), *COLUMNS[1:])),
    replace(ORDERS, columns=(*COLUMNS[:2], replace(COLUMNS[2], format="epoch_s"))),
    replace(ORDERS, key=(key_column_spec("order_id", "sk"), key_column_spec("line", "pk"))),
    replace(ORDERS, key=None),
    replace(ORDERS, when={"sk": "a"}),
    replace(ORDERS, when={"sk": {"not": "a"}}),
    replace(ORDERS, on_delete="soft"),
    replace(ORDERS, on_delete="ignore"),
    replace(ORDERS, on_expire="ignore"),
]


def test_a_fingerprint_changes_with_everything_that_changes_rows():
    fingerprints = [fingerprint(spec) for spec in [ORDERS, *CHANGED]]

    assert len(set(fingerprints)) == len(fingerprints)


TOTAL_BY_ANOTHER_NAME = replace(
    COLUMNS[1], type=parse_type("decimal(12, 2)"), path=parse_path('"total"')
)


@pytest.mark.parametrize(
    "spec",
    [
        replace(ORDERS, columns=COLUMNS[::-1]),
        replace(ORDERS, target="orders"),
        replace(ORDERS, on_error="halt"),
        replace(ORDERS, history="public.orders_history"),
        replace(ORDERS, columns=(TOTAL_BY_ANOTHER_NAME, COLUMNS[0], COLUMNS[2])),
    ],
)
def test_a_fingerprint_stays_when_rows_stay(spec):
    assert fingerprint(spec) == fingerprint(ORDERS)


def test_a_fingerprint_is_the_same_in_every_process_and_release():
    assert fingerprint(ORDERS) == (
        "a10b5727766522e33e6666a0bd821027e9e621038f1f73cc7a5bcc58ed022939"
    )


def test_a_table_compiles_all_its_targets():
    spec = TableSpec("orders", "orders", (ORDERS, replace(ORDERS, target="other")))

    table = compile_table(spec, SOURCE)

    assert [target.name for target in table.targets] == ["public.orders", "public.other"]
    assert table.fingerprint != compile_table(replace(spec, targets=(ORDERS,)), SOURCE).fingerprint
    assert table.fingerprint == compile_table(replace(spec, on_gap="continue"), SOURCE).fingerprint


@pytest.mark.parametrize(
    "targets",
    [
        (ORDERS, replace(ORDERS, target="orders")),
        (replace(ORDERS, history="orders"),),
        (replace(ORDERS, history="h"), replace(ORDERS, target="public.h")),
    ],
)
def test_one_target_table_has_one_entry(targets):
    with pytest.raises(ConfigurationError, match="twice") as refusal:
        compile_table(TableSpec("orders", "orders", targets), SOURCE)
    assert refusal.value.remedy
