"""Items that no target takes: ignored and counted, set aside, or sent to a target of their own."""

from typing import Any

import pytest

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_batch import NO_TARGET, UNMATCHED, plan_batch
from replicator.core.planning.write_plan import WritePlan
from replicator.errors import ConfigurationError
from tests.support.builders import record, table_mapping, target

ORDER, NOTE = {"S": "order"}, {"S": "note"}


def routed(unmatched: str, *more: Any) -> TableMapping:
    orders = target("public.orders", when={"kind": "order"})
    return table_mapping(orders, *more, unmatched=unmatched)


def plan(mapping: TableMapping, *records: Any) -> WritePlan:
    return plan_batch(records, mapping, read_at=0)


def test_ignored_items_are_counted_by_their_newest_change():
    found = plan(
        routed("ignore"),
        record(1, "a", kind=NOTE),
        record(2, "a", kind=NOTE),
        record(3, "b", kind=NOTE),
        record(4, "b", kind=ORDER),
        record(5, "c", kind=NOTE),
        record(6, "c"),
    )

    assert found.unmatched == 1
    assert found.dead_letters == ()


def test_a_change_that_no_target_takes_is_set_aside_and_the_item_leaves_its_old_target():
    found = plan(
        routed("dead_letter"), record(1, "a", kind=ORDER), record(2, "a", kind=NOTE), record(3, "b")
    )

    [letter] = found.dead_letters
    assert (letter.target, letter.record.letter_id) == (UNMATCHED, 2)
    assert letter.reason == NO_TARGET
    assert sorted(found.writes[0].deleted.rows) == [("a",), ("b",)]
    assert found.outcomes["modify", "dead_letter"] == 1


def test_a_catch_all_takes_exactly_what_the_others_leave_and_loses_what_they_take():
    mapping = routed("public.others", target("public.others"))
    found = plan(mapping, record(1, "a", kind=ORDER), record(2, "b", kind=NOTE))

    orders, others = found.writes
    assert [row[0] for row in orders.upserted.rows] == ["a"]
    assert [row[0] for row in others.upserted.rows] == ["b"]
    assert (orders.deleted.rows, others.deleted.rows) == ([("b",)], [("a",)])
    assert found.unmatched == 0


def test_a_changed_route_changes_the_fingerprint_of_the_catch_all():
    one = table_mapping(
        target("public.a", when={"kind": "x"}), target("public.b"), unmatched="public.b"
    )
    other = table_mapping(
        target("public.a", when={"kind": "y"}), target("public.b"), unmatched="public.b"
    )

    assert one.targets[1].fingerprint != other.targets[1].fingerprint


@pytest.mark.parametrize(
    ("targets", "fault"),
    [
        ((target("public.a", when={"kind": "x"}),), "is not below `into`"),
        (
            (target("public.a"), target("public.others", when={"kind": "x"})),
            "has a `when` of its own",
        ),
        ((target("public.a"), target("public.others")), "takes every item"),
        ((target("public.others"),), "there is no other target"),
    ],
)
def test_a_catch_all_that_cannot_work_is_refused(targets, fault):
    with pytest.raises(ConfigurationError, match=fault):
        table_mapping(*targets, unmatched="public.others")
