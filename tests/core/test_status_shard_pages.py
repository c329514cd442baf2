"""Shards of a table are told page by page, the worst first, and each of them once."""

from datetime import timedelta

import pytest

from replicator.core.status.deployment_status import ShardStatus
from replicator.core.status.status_shard_pages import (
    EndedShard,
    PageEnd,
    open_page,
    shards_document,
)
from tests.monitoring.facts import shard, table
from tests.support.builders import NOON

STREAM = str(table().stream_arn)
OLDER = STREAM.replace("2026-01", "2025-12")


def ended(number: int, *, stream: str = STREAM) -> EndedShard:
    """The higher the number, the earlier it ended."""
    at = NOON - timedelta(minutes=number, microseconds=number)
    return EndedShard(stream, f"shardId-{number:05d}", None, at)


def names(shards: list[ShardStatus]) -> list[str]:
    return [each.shard_id for each in shards]


def test_the_newest_stream_comes_first_and_each_shard_with_its_parent():
    parent, child = shard("b", lag_seconds=60.0), shard("c", parent_id="b", state="waiting")

    document = shards_document(
        table(), [child, parent], [ended(1), ended(2, stream=OLDER)], more=False
    )

    newest, oldest = document["generations"]
    assert (newest["stream_arn"], newest["current"]) == (STREAM, True)
    assert (oldest["stream_arn"], oldest["current"]) == (OLDER, False)
    assert [(each["shard_id"], each["parent_id"], each["state"]) for each in newest["shards"]] == [
        ("b", None, "active"),
        ("c", "b", "waiting"),
        ("shardId-00001", None, "done"),
    ]
    assert [each["lag_seconds"] for each in newest["shards"]] == [60.0, 0.0, None]
    assert document["next"] is None


def test_what_stands_still_is_on_the_first_page():
    lineage = [
        shard("a", state="active"),
        shard("b", state="waiting"),
        shard("c", state="gap"),
        shard("d", state="unowned"),
        shard("e", state="done"),
    ]

    assert names(open_page(lineage, None)) == ["c", "d", "b", "a", "e"]
    assert names(open_page(lineage, None, shards_max=2)) == ["c", "d"]


def test_pages_have_each_shard_once():
    lineage = [shard(f"shardId-{number % 7}{number:04d}") for number in range(25)]
    seen: list[str] = []
    after: PageEnd | None = None

    for _ in range(3):
        page = open_page(lineage, after, shards_max=10)
        seen += names(page)
        text = shards_document(table(), page, [], more=True)["next"]
        after = PageEnd.of(text)

    assert sorted(seen) == sorted(names(lineage))
    assert open_page(lineage, after) == []


def test_ended_shards_follow_the_others_and_a_page_begins_where_the_last_one_ended():
    document = shards_document(table(), [shard("a")], [ended(1), ended(2)], more=True)

    place = PageEnd.of(document["next"])

    assert place == PageEnd("done", ended(2).done_at, STREAM, "shardId-00002")
    assert open_page([shard("a")], place) == []


def test_a_shard_that_ended_between_the_two_readings_is_told_once():
    document = shards_document(table(), [shard("shardId-00001")], [ended(1)], more=False)

    [generation] = document["generations"]
    assert [each["state"] for each in generation["shards"]] == ["active"]


@pytest.mark.parametrize(
    "text",
    ["", "done", "nothing~~arn~shard", "done~soon~arn~shard", f"done~{10**30}~arn~shard", "~~~"],
)
def test_what_is_no_place_is_refused(text: str):
    with pytest.raises(ValueError, match=r".+"):
        PageEnd.of(text)
