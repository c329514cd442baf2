"""How old the oldest change is that a stopped table may not have read."""

from datetime import timedelta

from replicator.core.stream.gap_proof import Unread, lost_from, unread
from replicator.core.stream.source_kind import DYNAMODB_STREAMS
from tests.support.builders import NOON, shard_facts

DAY = DYNAMODB_STREAMS.retention
EARLIER = NOON - timedelta(hours=5)


def test_the_oldest_unfinished_shard_decides():
    shards = [
        shard_facts(0, safe_at=NOON),
        shard_facts(1, safe_at=EARLIER),
        shard_facts(2, safe_at=EARLIER - timedelta(hours=1), state="done"),
    ]

    assert unread(shards) == Unread(EARLIER)
    assert lost_from(EARLIER, retention=DAY) == NOON + timedelta(hours=19)


def test_where_everything_is_read_nothing_can_be_lost():
    assert unread([]) is None
    assert unread([shard_facts(0, state="done")]) is None
    assert unread([shard_facts(0, state="gap", gap_accepted_at=NOON)]) is None


def test_a_shard_that_was_never_read_may_hold_anything():
    assert unread([shard_facts(0), shard_facts(1, safe_at=NOON)]) == Unread(None)


def test_a_child_that_was_never_read_holds_nothing_older_than_its_parent_owes():
    reading = [shard_facts(0, safe_at=EARLIER), shard_facts(1, parent=0)]
    read = [shard_facts(0, safe_at=EARLIER, state="done"), shard_facts(1, parent=0)]

    assert unread(reading) == Unread(EARLIER)
    assert unread(read) == Unread(EARLIER)


def test_a_chain_of_which_nothing_was_read_may_hold_anything():
    assert unread([shard_facts(0), shard_facts(1, parent=0)]) == Unread(None)
    assert unread([shard_facts(0, state="done"), shard_facts(1, parent=0)]) == Unread(None)
