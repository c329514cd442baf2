"""Each belief about the service is told apart from what a stream really shows."""

from dataclasses import replace

import pytest

from replicator.selftest.assumptions import Fact, SeenAnswer, SeenRecord, StreamReading, facts_of
from replicator.selftest.workload import VALUES, DeleteItem, PutItem, changed_items, changes

NOW = 1_700_000_000.0


def seen(number: int, *, shard: str = "s", item: str = "a", at: float = NOW) -> SeenRecord:
    return SeenRecord(shard, item, number, at, at + 0.5)


def empty(number: int, *, at: float, shard: str = "s") -> list[SeenAnswer]:
    return [SeenAnswer(shard, at, 0)] * number


READING = StreamReading(
    shards={"s": None},
    records=(seen(1), seen(2)),
    answers=(
        SeenAnswer("s", NOW, 0),
        SeenAnswer("s", NOW + 2, 2, NOW),
        SeenAnswer("s", NOW + 3, 0),
    ),
    bytes_max=1000,
    calls=12,
    calls_seconds=1.0,
    throttled=0,
    bad_iterator="ValidationException",
    dated=True,
)


def facts(reading: StreamReading, number_of_changes: int = 2) -> dict[str, Fact]:
    found = facts_of(reading, changes=number_of_changes, seconds_to_rows=[0.2], clock_skew=0.0)
    return {fact.name: fact for fact in found}


def test_a_stream_as_it_is_believed_to_be_breaks_no_belief():
    assert [name for name, fact in facts(READING).items() if fact.holds is False] == []


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        ({"records": (seen(1),)}, "every change once"),
        ({"records": (seen(1), seen(1))}, "order in a shard"),
        ({"records": (seen(2), seen(1, shard="t"))}, "order of an item"),
        ({"records": (seen(1), seen(10**40))}, "sequence numbers"),
        ({"records": (seen(1, at=0.0), seen(2, at=60.0))}, "creation times"),
        ({"records": (seen(1), replace(seen(2), seen_at=NOW - 5))}, "creation before sight"),
        ({"dated": False}, "source's clock"),
        (
            {"answers": (*empty(5, at=NOW + 1), SeenAnswer("s", NOW + 2, 2, NOW))},
            "empty answers before records",
        ),
        ({"answers": (SeenAnswer("s", NOW, 1001, NOW),)}, "page size"),
        ({"bad_iterator": "answered"}, "iterator that never existed"),
        ({"shards": {}}, "shards"),
    ],
)
def test_a_stream_that_is_otherwise_breaks_the_belief(broken, name):
    assert facts(replace(READING, **broken))[name].holds is False


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(empty(20, at=NOW - 1), id="nothing was written yet"),
        pytest.param(empty(20, at=NOW + 0.9), id="it may have been written within that second"),
        pytest.param(empty(20, at=NOW + 1, shard="t"), id="those of another shard"),
        pytest.param(
            [*empty(4, at=NOW + 1), SeenAnswer("s", NOW + 1, 1, NOW), *empty(4, at=NOW + 1)],
            id="records were between",
        ),
    ],
)
def test_answers_are_empty_for_as_long_as_nothing_is_there(before: list[SeenAnswer]):
    reading = replace(READING, answers=(*before, SeenAnswer("s", NOW + 2, 2, NOW)))

    assert facts(reading)["empty answers before records"].holds is True


def test_the_workload_has_every_type_and_every_kind_of_newest_change():
    made = list(changes(6))

    tags = {tag for value in VALUES.values() for tag in value}
    assert tags == {"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"}
    newest = {
        str(c.item["pk"]) + str(c.item["sk"])
        if isinstance(c, PutItem)
        else str(c.key["pk"]) + str(c.key["sk"]): type(c)
        for c in made
    }
    assert set(newest.values()) == {PutItem, DeleteItem}
    assert changed_items(6) == len(made)
