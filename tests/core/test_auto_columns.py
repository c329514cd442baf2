"""Columns that appear with the attributes, and what stays in the rest."""

import json

from replicator.core.mapping.auto_columns import (
    COLUMNS_MAX,
    PAUSE_SECONDS_MAX,
    PAUSE_SECONDS_MIN,
    AutoColumn,
    Pace,
    wanted,
    with_auto_columns,
)
from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.table_spec import SourceKey, TableSpec, TargetSpec
from tests.support.builders import record

KEY = SourceKey((("pk", "S"),))
SPEC = TableSpec("t", "t", (TargetSpec("public.t", columns=(), rest="extra", auto=True),))


def known(*columns: tuple[str, str]) -> TableMapping:
    found = [AutoColumn("public.t", name, kind) for name, kind in columns]
    return compile_table(with_auto_columns(SPEC, found), KEY)


def test_what_has_no_column_yet_is_in_the_rest_and_asks_for_one():
    mapping = known()
    plan = plan_batch([record(1, n={"N": "1"}, tags={"SS": ["a"]})], mapping, read_at=0)

    [row] = plan.writes[0].upserted.rows
    assert json.loads(str(row[1])) == {"n": 1, "tags": ["a"]}
    new, refused = wanted(mapping.targets[0], plan.candidates["public.t"])
    assert {(column.name, column.type) for column in new} == {("n", "numeric"), ("tags", "text[]")}
    assert refused == []


def test_a_value_of_another_type_stays_in_the_rest_and_leaves_the_column_null():
    mapping = known(("n", "numeric"), ("m", "jsonb"))
    changes = [
        record(1, "a", n={"N": "1"}, m={"L": []}),
        record(2, "b", n={"S": "many"}, m={"M": {}}),
        record(3, "c", n={"NULL": True}),
    ]
    plan = plan_batch(changes, mapping, read_at=0)

    assert sorted(plan.writes[0].upserted.rows, key=str) == [
        ("a", "[]", "1", "{}"),
        ("b", "{}", None, '{"n":"many"}'),
        ("c", None, None, "{}"),
    ]
    new, [refused] = wanted(mapping.targets[0], plan.candidates["public.t"])
    assert (new, refused.attribute) == ([], "n")
    assert "another type" in refused.reason


def test_names_that_cannot_be_columns_stay_in_the_rest():
    target = known(("color", "text")).targets[0]
    names = ["Color", "xmin", "extra", "pk", "é" * 40, "a\0b", "_deleted_at", "fine"]

    new, refused = wanted(target, dict.fromkeys(names, "S"))

    assert [column.name for column in new] == ["fine"]
    assert len(refused) == len(names) - 1


def test_a_target_gets_no_more_columns_than_somebody_could_read():
    names = {f"a{number}": "S" for number in range(2 * COLUMNS_MAX)}
    new, refused = wanted(known().targets[0], names)

    assert len(new) < COLUMNS_MAX
    assert len(new) + len(refused) == len(names)


def test_the_order_in_which_columns_appeared_is_no_part_of_the_mapping():
    one = known(("a", "text"), ("b", "numeric"))

    assert one.fingerprint == known(("b", "numeric"), ("a", "text")).fingerprint
    assert one.fingerprint != known(("a", "text")).fingerprint != known().fingerprint


def test_attributes_that_keep_appearing_are_added_less_and_less_often():
    pace, now, additions = Pace(), 0.0, 0
    while now < 3600:
        if pace.may_add(now):
            pace, additions = pace.after_addition(now), additions + 1
        now += PAUSE_SECONDS_MIN

    assert additions < 3600 / PAUSE_SECONDS_MAX + 10
    assert not pace.may_add(now - PAUSE_SECONDS_MIN + 1)

    now += 3 * PAUSE_SECONDS_MAX
    assert pace.may_add(now)
    assert pace.after_addition(now).may_add(now + PAUSE_SECONDS_MIN)
