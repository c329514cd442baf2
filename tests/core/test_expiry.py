"""Deletions by time to live, told apart where the stream does not say."""

import json

import pytest

from replicator.core.planning.plan_batch import plan_batch
from replicator.core.stream.decoding.dynamodb_records import numbers_of
from replicator.core.stream_record import StreamRecord
from tests.support.builders import NOON, table_mapping, target

NOW = int(NOON.timestamp())


def removal(old: dict[str, object] | None, *, expired: bool = False) -> StreamRecord:
    image = None if old is None else memoryview(json.dumps(old).encode())
    return StreamRecord(
        *numbers_of(1), "remove", {"pk": {"S": "a"}}, None, image, float(NOW), expired
    )


@pytest.mark.parametrize(
    ("old", "attribute", "softly"),
    [
        ({"ttl": {"N": str(NOW)}}, "ttl", True),
        ({"ttl": {"N": f"{NOW - 1}.5"}}, "ttl", True),
        ({"ttl": {"N": str(NOW + 1)}}, "ttl", False),
        ({"ttl": {"S": str(NOW)}}, "ttl", False),
        ({"ttl": {"N": "NaN"}}, "ttl", False),
        ({"ttl": "odd"}, "ttl", False),
        ({}, "ttl", False),
        (None, "ttl", False),
        ({"ttl": {"N": "1"}}, None, False),
    ],
)
def test_a_deletion_after_the_time_is_one_by_it(old, attribute, softly):
    mapping = table_mapping(target(on_expire="soft"), expire_attribute=attribute)
    [writes] = plan_batch([removal(old)], mapping, read_at=0).writes

    assert bool(writes.softly_deleted.rows) is softly
    assert bool(writes.deleted.rows) is not softly


def test_what_the_stream_says_needs_no_attribute():
    mapping = table_mapping(target(on_expire="soft"))
    [writes] = plan_batch([removal(None, expired=True)], mapping, read_at=0).writes

    assert writes.softly_deleted.rows
