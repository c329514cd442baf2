"""Units of shards that may be leased follow from the shards, whatever was known before."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.table_and_shard_facts import PolledShard, TableFacts
from replicator.engine.worker.table_runtime_state import Table, Unit
from tests.support.mappings import mapping

ARN = "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/2026-03-01T00:00:00.000"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
IDS = tuple("abcdef")
SHARDS = st.builds(
    PolledShard,
    source=st.just("orders"),
    stream_arn=st.just(ARN),
    shard_id=st.sampled_from(IDS),
    parent_id=st.none() | st.sampled_from(IDS),
    adjacent_parent_id=st.none() | st.sampled_from(IDS),
    state=st.sampled_from(["waiting", "active", "active", "done", "gap"]),
    owner=st.none() | st.sampled_from(["me", "you"]),
    gap_accepted_at=st.none() | st.just(NOW),
    done_at=st.none(),
    load=st.none() | st.sampled_from([0.0, 10.0, 20.0]),
)
STREAMS = st.lists(SHARDS, max_size=6, unique_by=lambda shard: shard.shard_id)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "owner": st.none() | st.just("me"),
    "load": st.none() | st.just(30.0),
    "state": st.sampled_from(["waiting", "active", "done", "gap"]),
    "parent_id": st.none() | st.sampled_from(IDS),
    "gap_accepted_at": st.none() | st.just(NOW),
}
"""What may change of a shard, and into what."""
CHANGES = st.sampled_from([*VALUES, "stream", "halted", "order"])


def new_table() -> Table:
    nothing: Any = None
    compiled = mapping(name="orders")
    table = Table("orders", compiled, *[nothing] * 6)
    table.facts = TableFacts(
        source="orders",
        stream_arn=ARN,
        ordering=OrderingMode.FENCE,
        snapshot_id=None,
        mapping_fingerprint=compiled.fingerprint,
        initial_load="stream",
        start_at=NOW,
        paused=False,
        halted=False,
        reason=None,
        remedy=None,
        gaps=(),
    )
    return table


def units_of(table: Table) -> dict[str, Unit]:
    return table.ready_units(lambda arn, name: f"{arn}:{name}")


def change_one_thing(table: Table, data: st.DataObject) -> None:
    assert table.facts is not None
    name = data.draw(CHANGES)
    if name == "stream" or not table.shards:
        table.shards = tuple(data.draw(STREAMS))
    elif name == "halted":
        table.facts = replace(table.facts, halted=not table.facts.halted)
    elif name == "order":
        table.shards = tuple(data.draw(st.permutations(table.shards)))
    else:
        place = data.draw(st.integers(0, len(table.shards) - 1))
        changed = replace(table.shards[place], **{name: data.draw(VALUES[name])})
        table.shards = (*table.shards[:place], changed, *table.shards[place + 1 :])


@given(st.data())
def test_units_are_those_that_a_worker_would_have_that_has_just_begun(data: st.DataObject):
    table = new_table()
    table.shards = tuple(data.draw(STREAMS))
    for _ in range(data.draw(st.integers(1, 6))):
        change_one_thing(table, data)

        fresh = new_table()
        fresh.facts, fresh.shards = table.facts, table.shards

        assert list(units_of(table).items()) == list(units_of(fresh).items())


def test_the_unit_of_a_shard_that_is_as_it_was_stays_the_same_object():
    table = new_table()
    one = PolledShard("orders", ARN, "a", None, None, "active", "me", None, None, 1.0)
    table.shards = (one, replace(one, shard_id="b"))
    before = units_of(table)
    table.shards = (one, replace(one, shard_id="b", load=2.0))

    after = units_of(table)

    assert after[f"{ARN}:a"] is before[f"{ARN}:a"]
    assert after[f"{ARN}:b"].load == 2.0
