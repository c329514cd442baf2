"""Parents before children, and nothing twice."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from replicator.core.stream.shard_lineage import (
    awaits_children,
    by_name,
    ends_of,
    expected_load,
    forgettable_shards,
    in_order,
    ready_shards,
    unknown_shards,
)
from replicator.core.stream.table_and_shard_facts import ListedShard, ShardFacts
from tests.support.builders import NOON, shard_facts, shard_name, shards

ACCEPTED: dict[str, Any] = {"state": "gap", "gap_accepted_at": NOON}


def ready(*known: ShardFacts) -> list[str]:
    return [shard.shard_id for shard in ready_shards(by_name(known))]


def test_a_child_waits_for_its_parent():
    assert ready(shard_facts(0), shard_facts(1, parent=0)) == [shard_name(0)]


def test_a_child_starts_when_its_parent_is_done():
    assert ready(shard_facts(0, state="done"), shard_facts(1, parent=0)) == [shard_name(1)]


def test_a_shard_of_a_merge_waits_for_both_parents():
    merged = shard_facts(2, parent=0, adjacent_parent_id=shard_name(1))

    assert ready(shard_facts(0, state="done"), shard_facts(1), merged) == [shard_name(1)]
    assert ready(shard_facts(0), shard_facts(1, state="done"), merged) == [shard_name(0)]
    done = shard_facts(0, state="done"), shard_facts(1, state="done")
    assert ready(*done, merged) == [shard_name(2)]


def test_a_listing_has_both_parents_of_a_merge_before_it():
    merged = ListedShard("c", "a", closed=False, adjacent_parent_id="b")
    split = ListedShard("b", "root", closed=True)
    listed = [merged, split, ListedShard("a", None, closed=True), ListedShard("root", None, True)]

    ordered = [shard.shard_id for shard in in_order(listed)]

    assert sorted(ordered) == ["a", "b", "c", "root"]
    assert ordered.index("root") < ordered.index("b") < ordered.index("c")
    assert ordered.index("a") < ordered.index("c")


def test_both_children_of_a_split_start():
    known = [shard_facts(0, state="done"), shard_facts(1, parent=0), shard_facts(2, parent=0)]

    assert ready(*known) == [shard_name(1), shard_name(2)]


def test_a_child_waits_for_a_parent_that_is_only_named():
    assert ready(shard_facts(0, listed=False), shard_facts(1, parent=0)) == [shard_name(0)]


def test_a_child_waits_while_its_parents_gap_is_open():
    assert ready(shard_facts(0, state="gap"), shard_facts(1, parent=0)) == []


def test_a_child_starts_when_its_parents_gap_was_accepted():
    assert ready(shard_facts(0, **ACCEPTED), shard_facts(1, parent=0)) == [shard_name(1)]


def test_a_parent_that_was_cleaned_away_holds_nobody_up():
    assert ready(shard_facts(1, parent=0)) == [shard_name(1)]


def test_the_same_shard_id_in_another_stream_is_another_shard():
    other = shard_facts(0, stream_arn="arn:other", state="done")

    assert ready(other, shard_facts(0), shard_facts(1, parent=0)) == [shard_name(0)]


def test_a_child_that_nobody_has_read_is_expected_to_have_its_parents_load():
    one, other = shard_facts(0, load=100.0), shard_facts(1, load=20.0)
    merged = shard_facts(2, parent=0, adjacent_parent_id=shard_name(1))

    def expected(shard: ShardFacts) -> float:
        return expected_load(shard, by_name([one, other, merged]))

    assert expected(merged) == 120.0
    assert expected(replace(merged, load=5.0)) == 5.0
    assert expected(shard_facts(3, parent=9)) == 0.0


def test_a_listing_adds_what_is_unknown_and_what_was_only_named():
    listing = shards({0: 1, 1: [2, 3]})
    known = {shard_name(0): shard_facts(0, listed=False), shard_name(1): shard_facts(1)}

    added = [shard.shard_id for shard in unknown_shards(listing, known)]

    assert added == [shard_name(0), shard_name(2), shard_name(3)]


@given(order=st.permutations(range(7)))
def test_parents_come_before_their_children_in_any_listing(order):
    listing = shards({0: 1, 1: [2, 3], 2: 4, 3: [5, 6]})

    ordered = [shard.shard_id for shard in in_order([listing[i] for i in order])]

    assert sorted(ordered) == sorted(shard.shard_id for shard in listing)
    for shard in listing:
        if shard.parent_id is not None:
            assert ordered.index(shard.parent_id) < ordered.index(shard.shard_id)


def test_a_listing_that_names_itself_as_parent_does_not_hang():
    (shard,) = in_order([shards({}, roots=(0,))[0]])

    assert shard.shard_id == shard_name(0)


def test_a_finished_shard_is_forgotten_when_children_progressed_and_two_days_passed():
    long_ago = NOON - timedelta(hours=49)
    old = shard_facts(0, state="done", done_at=long_ago)

    def forgotten(*children: ShardFacts) -> list[str]:
        return [shard.shard_id for shard in forgettable_shards([old, *children], NOON, ())]

    assert forgotten(shard_facts(1, parent=0, position=5)) == [shard_name(0)]
    assert forgotten(shard_facts(1, parent=0)) == []
    assert forgotten(shard_facts(1, parent=0, position=5), shard_facts(2, parent=0)) == []


def test_a_shard_that_finished_lately_is_kept():
    lately = shard_facts(0, state="done", done_at=NOON - timedelta(hours=47))

    assert forgettable_shards([lately], NOON, ()) == []


def test_a_parent_is_forgotten_before_its_child():
    long_ago = NOON - timedelta(hours=49)
    chain = [
        shard_facts(0, state="done", done_at=long_ago),
        shard_facts(1, parent=0, state="done", done_at=long_ago, position=3),
        shard_facts(2, parent=1, position=4),
    ]

    assert [shard.shard_id for shard in forgettable_shards(chain, NOON, ())] == [shard_name(0)]


def test_a_shard_that_the_source_still_lists_is_kept_however_old():
    old = shard_facts(0, state="done", done_at=NOON - timedelta(days=9))

    assert forgettable_shards([old], NOON, {(old.stream_arn, old.shard_id)}) == []
    assert forgettable_shards([old], NOON, {(old.stream_arn, shard_name(1))}) == [old]


def followed(*known: ShardFacts) -> list[str]:
    return [shard.shard_id for shard in ends_of(known).followed]


def test_a_finished_shard_is_followed_once_all_its_children_were_begun():
    parent = shard_facts(0, state="done")
    first, second = shard_facts(1, parent=0, state="active"), shard_facts(2, parent=0)

    assert followed(parent) == []
    assert followed(parent, first, second) == []
    assert followed(parent, first, replace(second, state="done")) == [shard_name(0)]
    assert followed(replace(parent, state="active"), first) == []


def childless(known: list[ShardFacts]) -> Sequence[datetime]:
    return ends_of(known).childless


def test_children_are_awaited_for_a_minute_after_an_end_that_has_none():
    ended = shard_facts(0, state="done", done_at=NOON)
    moment, later = NOON + timedelta(seconds=50), NOON + timedelta(seconds=70)

    assert awaits_children(childless([ended]), moment)
    assert not awaits_children(childless([ended]), later)
    assert not awaits_children(childless([ended, shard_facts(1, parent=0)]), moment)
    assert not awaits_children(childless([shard_facts(0)]), moment)
