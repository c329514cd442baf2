"""What nothing takes is counted by name, up to a bound."""

import pytest

from replicator.core.planning.plan_batch import plan_batch
from replicator.core.status.attribute_drift import NAMES_MAX, Drift, Seen
from replicator.core.stream_record import AttributeValue
from tests.support.builders import record, table_mapping, target

HUE_AND_SIZE = {"public.orders": {"hue": "S", "size": "N"}}


def test_counts_add_up_until_they_are_taken():
    drift = Drift()
    drift.add("orders", {"public.orders": {"hue": 2, "size": 1}}, HUE_AND_SIZE)
    drift.add("orders", {"public.orders": {"hue": 3}}, {"public.orders": {"hue": "L"}})

    taken = drift.take()

    assert taken == {
        ("orders", "public.orders", "hue"): Seen(5, "L"),
        ("orders", "public.orders", "size"): Seen(1, "N"),
    }
    assert drift.take() == {}


def test_what_could_not_be_written_down_is_there_the_next_time():
    drift = Drift()
    drift.add("orders", {"public.orders": {"hue": 2}}, HUE_AND_SIZE)

    drift.put_back(drift.take())

    assert drift.take() == {("orders", "public.orders", "hue"): Seen(2, "S")}


def test_names_without_end_take_no_memory_without_end():
    drift = Drift()

    names = [f"name {n}" for n in range(3 * NAMES_MAX)]
    types = {"public.orders": dict.fromkeys(names, "S")}
    drift.add("orders", {"public.orders": dict.fromkeys(names, 1)}, types)
    drift.add("orders", {"public.orders": {"name 0": 1}}, types)

    taken = drift.take()
    assert len(taken) == NAMES_MAX
    assert taken["orders", "public.orders", "name 0"] == Seen(2, "S")


@pytest.mark.parametrize("n", [{"N": "1"}, {"NULL": True}], ids=["usual", "by steps"])
def test_a_batch_says_with_which_type_it_met_what_nothing_takes(n: AttributeValue):
    records = [
        record(1, n=n, hue={"S": "red"}),
        record(2, "b", n=n, sizes={"L": []}, hue={"N": "1"}),
    ]

    plan = plan_batch(records, table_mapping(target(rest=None)), read_at=0.0)

    assert plan.unmapped == {"public.t": {"hue": 2, "sizes": 1}}
    assert plan.unmapped_types == {"public.t": {"hue": "N", "sizes": "L"}}
