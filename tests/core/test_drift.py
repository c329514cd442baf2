"""What nothing takes is counted by name, up to a bound."""

from replicator.core.drift import NAMES_MAX, Drift


def test_counts_add_up_until_they_are_taken():
    drift = Drift()
    drift.add("orders", {"public.orders": {"hue": 2, "size": 1}})
    drift.add("orders", {"public.orders": {"hue": 3}})

    taken = drift.take()

    assert taken == {
        ("orders", "public.orders", "hue"): 5,
        ("orders", "public.orders", "size"): 1,
    }
    assert drift.take() == {}


def test_what_could_not_be_written_down_is_there_the_next_time():
    drift = Drift()
    drift.add("orders", {"public.orders": {"hue": 2}})

    drift.put_back(drift.take())

    assert drift.take() == {("orders", "public.orders", "hue"): 2}


def test_names_without_end_take_no_memory_without_end():
    drift = Drift()

    drift.add("orders", {"public.orders": {f"name {n}": 1 for n in range(3 * NAMES_MAX)}})
    drift.add("orders", {"public.orders": {"name 0": 1}})

    taken = drift.take()
    assert len(taken) == NAMES_MAX
    assert taken["orders", "public.orders", "name 0"] == 2
