"""The row guard over changes that only times and images order: what nothing proves is counted."""

from collections.abc import AsyncIterator
from itertools import product

import pytest

from replicator.core.stream.order_by_time import later, version_of
from replicator.core.stream.source_kind import share_of
from replicator.core.stream_record import LetterId, StreamRecord
from tests.support.builders import NOON, record, table_mapping, target
from tests.support.guarded import GuardedTable, guarded_table
from tests.support.undecided import is_undecided

SHARE = share_of("arn:aws:kinesis:us-east-1:000000000000:stream/changes", "orders")
STATES = (None, 1, 2, 3)
Step = tuple[int | None, int | None]


@pytest.fixture
async def table(database: str) -> AsyncIterator[GuardedTable]:
    mapping = table_mapping(target(), target("public.soft", on_delete="soft"))
    async with guarded_table(database, mapping) as table:
        yield table


def change(step: Step, key: str) -> StreamRecord:
    """A change of one time, from one value to another; None: the item does not exist."""
    old, new = (None if n is None else memoryview(b'{"n":{"N":"%d"}}' % n) for n in step)
    micros = int(NOON.timestamp()) * 1_000_000
    version = version_of(micros, old, new)
    new_value = {} if step[1] is None else {"n": {"N": str(step[1])}}
    made = record(1, key, event=None, at=NOON, expired=False, **new_value)
    return StreamRecord(
        made.position,
        version,
        LetterId(version),
        made.event,
        made.keys,
        made.new_image,
        made.old_image,
        made.created_at,
    )


async def test_of_two_changes_of_one_time_what_nothing_proves_is_counted_whichever_is_taken(
    table: GuardedTable,
):
    steps = [step for step in product(STATES, STATES) if step[0] != step[1]]
    for first, second in product(steps, steps):
        key = f"{first} {second}"
        one, other = change(first, key), change(second, key)
        await table.apply(one, stream_arn=SHARE)
        applied = await table.apply(other, stream_arn=SHARE)

        taken = later(other.version, one.version) is not False
        unsure = is_undecided(other.version, one.version)
        assert applied.undecided == 2 * unsure, key  # of either target
        assert bool(applied.rejections) is not taken or second[1] is None, key
        assert (await table.rows()).get(key) == (second if taken else first)[1], key


async def test_an_order_that_time_or_an_image_proves_is_not_counted(table: GuardedTable):
    first, second = change((None, 1), "a"), change((1, 2), "a")
    for each in (second, first, second):
        applied = await table.apply(each, stream_arn=SHARE)
        assert applied.undecided == 0

    assert await table.rows() == {"a": 2}
