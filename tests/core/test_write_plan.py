"""Rows and the changes behind them cannot get out of step, whatever is taken out between."""

from datetime import UTC, datetime

import pytest

from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.row_guard import GuardRejection, OtherOrder, accepted
from replicator.core.planning.write_plan import Changes, Upserts
from tests.support.builders import record, table_mapping, target
from tests.support.specs import child_spec, column_spec

ONE = record(1, "a", n={"N": "1"})


def test_a_row_without_a_change_and_a_change_without_a_row_are_refused():
    for rows, records in (([("a",)], []), ([], [ONE]), ([("a",), ("b",)], [ONE])):
        changes = Changes()
        with pytest.raises(ValueError, match="rows of"):
            changes.extend(rows, records)
        assert (list(changes.rows), list(changes.records)) == ([], [])


def test_a_row_without_the_rows_of_its_child_tables_is_refused():
    upserts = Upserts()
    upserts.add_whole(("a",), ONE, ([("a", "x")],))
    with pytest.raises(ValueError, match="child tables"):
        upserts.add_whole(("b",), ONE, ())
    assert (len(upserts), len(upserts.children)) == (1, 1)


def test_what_the_guard_leaves_has_the_changes_children_and_places_that_it_had():
    tags = child_spec("public.tags", "tags", value=column_spec("tag", "tag", "text"))
    mapping = table_mapping(target(children=(tags,), on_delete="soft"))
    batch = [
        record(1, "a", n={"N": "1"}, tags={"L": [{"S": "of a"}]}),
        record(2, "b", n={"N": "2"}, tags={"L": [{"S": "of b"}]}),
        record(3, "b"),
        record(4, "c", n={"N": "3"}, tags={"L": [{"S": "of c"}]}),
        record(5, "d", n={"N": "4"}, tags={"L": [{"S": "of d"}]}),
        record(6, "e"),
    ]
    plan = plan_batch(batch, mapping, read_at=0.0)
    [writes] = plan.writes
    places = {row[0]: place for place, row in enumerate(writes.upserted.rows)}
    name = writes.target.name
    rejections = [GuardRejection(name, places["a"], batch[0], "older")]
    others = [
        OtherOrder(name, places["c"], datetime(2026, 3, 1, tzinfo=UTC)),
        OtherOrder(name, places["d"], None),
    ]

    [left] = accepted(plan, rejections, others).writes

    upserted = left.upserted
    behind = {
        row[0]: (each.version, children[0][0][-1])
        for row, each, children in zip(
            upserted.rows, upserted.records, upserted.children, strict=True
        )
    }
    assert behind == {"b": (3, "of b"), "c": (4, "of c")}
    [beneath] = upserted.beneath.items()
    assert (upserted.rows[beneath[0]][0], beneath[1].version) == ("b", 2)
    softly = {
        row[0]: each.version
        for row, each in zip(left.softly_deleted.rows, left.softly_deleted.records, strict=True)
    }
    assert softly == {"d": 5, "e": 6}
