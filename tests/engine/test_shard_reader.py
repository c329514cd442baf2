"""A shard is read page by page, from its position, and nothing is skipped or believed too early."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from replicator.clock import Clock, SourceClock
from replicator.core.stream_record import Page, Position, StreamRecord
from replicator.engine.stream.shard_reader import Answer, ShardReader
from replicator.errors import IteratorExpired, PositionTrimmed, SourceDenied, SourceUnavailable
from tests.support.builders import STREAM, record, shard_name
from tests.support.virtual_time import START, in_virtual_time, running_clock

EMPTY: tuple[StreamRecord, ...] = ()
Told = Sequence[StreamRecord] | Page | Exception | None


@dataclass
class ScriptedSource:
    """A source that answers what it is told; None is the end of the shard."""

    given: Sequence[Told]
    asked_after: list[int | None] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._answers = list(self.given)

    def listed_shards(self, stream_arn: str, *, first: bool = False) -> Any:
        raise NotImplementedError

    async def children(self, stream_arn: str, shard_id: str) -> Any:
        raise NotImplementedError

    async def iterator(
        self, stream_arn: str, shard_id: str, *, after: int | None, since: object = None
    ) -> str:
        self.asked_after.append(after)
        return "iterator"

    async def read(self, iterator: str) -> Page:
        self.times.append(asyncio.get_running_loop().time())
        match self._answers.pop(0):
            case Exception() as error:
                raise error
            case None:
                return Page([], None)
            case Page() as page:
                return page
            case records:
                return Page(list(records), "next")


def reader(
    source: ScriptedSource,
    *,
    after: int | None = None,
    around: bool = False,
    clock: Clock | None = None,
    idle_seconds_max: float = 10.0,
) -> ShardReader:
    return ShardReader(
        source,
        clock or running_clock(),
        stream_arn=STREAM,
        shard_id=shard_name(0),
        after=None if after is None else Position(after),
        idle_seconds_max=idle_seconds_max,
        may_read_around=lambda _: around,
    )


async def read(it: ShardReader, answers: int) -> list[Answer]:
    found = [await it.next(asyncio.Event()) for _ in range(answers)]
    return [answer for answer in found if answer is not None]


def at_start(number: int, key: str = "a") -> StreamRecord:
    return record(number, key, at=START, n={"N": "1"})


@in_virtual_time
async def test_only_the_fifth_empty_page_in_a_row_is_the_head_as_of_the_first():
    source = ScriptedSource([EMPTY] * 4 + [[at_start(1)]] + [EMPTY] * 5)

    answers = await read(reader(source), 10)

    assert [answer.head_at is not None for answer in answers] == [False] * 9 + [True]
    assert answers[-1].head_at == answers[5].requested_at


@in_virtual_time
async def test_the_head_is_not_before_its_five_pages_were_asked_for():
    """A change made between the first and the fifth of them may be in none."""
    answers = await read(reader(ScriptedSource([EMPTY] * 6)), 6)

    assert answers[4].head_at == answers[0].requested_at
    assert answers[5].head_at == answers[1].requested_at


@dataclass
class CorrectingSource(ScriptedSource):
    """A source whose answer comes after two seconds and sets a clock right."""

    clock: SourceClock | None = None

    async def read(self, iterator: str) -> Page:
        await asyncio.sleep(2)
        assert self.clock is not None
        self.clock.heard(running_clock().now())
        return await super().read(iterator)


@pytest.mark.parametrize("off", [timedelta(hours=5), timedelta(hours=-5)])
@in_virtual_time
async def test_a_request_is_never_dated_later_than_the_answer_that_corrects_the_clock_says(
    off: timedelta,
):
    """A machine's clock that has stepped forward is no proof that all until then was read."""
    own = running_clock()
    own.skew = off
    clock = SourceClock(own)
    source = CorrectingSource([EMPTY] * 5, clock=clock)
    asked_at = running_clock().now()

    answers = await read(reader(source, clock=clock), 5)

    assert answers[0].requested_at == min(asked_at, asked_at + off)
    assert answers[4].head_at == answers[0].requested_at


@in_virtual_time
async def test_an_empty_page_is_not_the_end():
    [first, last] = await read(reader(ScriptedSource([EMPTY, None])), 2)

    assert (first.ended, last.ended) == (False, True)


@in_virtual_time
async def test_an_expired_iterator_is_asked_for_again_behind_the_last_record_read():
    expired = IteratorExpired("15 minutes")
    source = ScriptedSource([expired, [at_start(1)], [at_start(2)], expired, [at_start(3)]])

    answers = await read(reader(source), 3)

    assert source.asked_after == [None, None, 2]
    assert [r.position for a in answers for r in a.records] == [1, 2, 3]


@in_virtual_time
async def test_an_iterator_is_renewed_before_it_expires():
    source = ScriptedSource([[at_start(1)], EMPTY])
    it = reader(source)
    await read(it, 1)
    await asyncio.sleep(14.5 * 60)

    await read(it, 1)

    assert source.asked_after == [None, 1]


@in_virtual_time
async def test_records_at_or_before_the_position_are_dropped_and_told():
    source = ScriptedSource([[at_start(9), at_start(10), at_start(100)]])

    [answer] = await read(reader(source, after=10), 1)

    assert [r.position for r in answer.records] == [100]
    assert [r.position for r in answer.repeated] == [9, 10]


@in_virtual_time
async def test_throttling_faults_and_refusals_are_answered_by_longer_and_longer_pauses():
    failures = [SourceUnavailable("throttled")] * 12 + [SourceDenied("refused")]
    source = ScriptedSource([*failures, [at_start(1)]])

    [answer] = await read(reader(source, after=None), 1)

    assert [r.position for r in answer.records] == [1]
    pauses = [b - a for a, b in zip(source.times, source.times[1:], strict=False)]
    assert pauses[0] < 0.3
    assert max(pauses) <= 5.0
    assert sum(pauses) > 20


@in_virtual_time
async def test_a_trimmed_position_is_read_around_only_where_that_loses_nothing():
    trimmed = PositionTrimmed("trimmed")
    source = ScriptedSource([trimmed, [at_start(9), at_start(11)]])
    [answer] = await read(reader(source, after=10, around=True), 1)
    assert source.asked_after == [10, None]
    assert [r.position for r in answer.records] == [11]

    with pytest.raises(PositionTrimmed):
        await read(reader(ScriptedSource([trimmed]), after=10, around=False), 1)


@in_virtual_time
async def test_there_is_no_pause_behind_a_full_page_or_one_that_is_behind():
    full = [record(number, f"k{number}", at=START, n={"N": "1"}) for number in range(1, 951)]
    late = record(2000, "a", at=START - timedelta(minutes=1), n={"N": "1"})
    source = ScriptedSource([full, [late], [at_start(3000)], EMPTY])

    await read(reader(source), 4)

    pauses = [b - a for a, b in zip(source.times, source.times[1:], strict=False)]
    assert pauses[:2] == [0, 0]
    assert pauses[2] > 0


@in_virtual_time
async def test_there_is_no_pause_behind_a_page_that_had_no_room_for_another_record():
    """The service cuts an answer at 1 MB: of large items it holds a few."""

    def large(first: int, records: int, *, each: int) -> Page:
        its = [at_start(number, f"k{number}") for number in range(first, first + records)]
        return Page(its, "next", size_bytes=records * each)

    full = [large(100, 10, each=100_000), large(200, 2, each=400_000), large(300, 1, each=800_000)]
    source = ScriptedSource([*full, large(400, 5, each=100_000), EMPTY])

    await read(reader(source), 5)

    pauses = [b - a for a, b in zip(source.times, source.times[1:], strict=False)]
    assert pauses[:3] == [0, 0, 0]
    assert pauses[3] > 0


@in_virtual_time
async def test_asked_to_stop_it_waits_for_no_pause():
    it = reader(ScriptedSource([EMPTY]))
    await read(it, 1)
    stopping = asyncio.Event()
    stopping.set()

    assert await it.next(stopping) is None


@in_virtual_time
async def test_an_answer_that_is_put_back_is_read_again_at_once():
    loop = asyncio.get_running_loop()
    source = ScriptedSource([[at_start(1)], EMPTY, [at_start(2)], [at_start(2), at_start(3)]])
    it = reader(source)
    await read(it, 3)
    began = loop.time()

    it.put_back()
    [again] = await read(it, 1)

    assert [each.position for each in again.records] == [2, 3]
    assert loop.time() == began
    assert source.asked_after == [None], "the iterator before it still leads there"


def pauses(source: ScriptedSource) -> list[float]:
    return [round(b - a, 3) for a, b in zip(source.times, source.times[1:], strict=False)]


@dataclass
class ChangingSource(ScriptedSource):
    """A source whose records were created when they are asked for."""

    async def read(self, iterator: str) -> Page:
        page, now = await super().read(iterator), running_clock().now()
        records = [record(each.position, "a", at=now, n={"N": "1"}) for each in page.records]
        return Page(records, page.next_iterator, behind=page.behind)


@pytest.mark.parametrize("told", [None, False], ids=["DynamoDB Streams", "Kinesis"])
@pytest.mark.parametrize("idle_seconds_max", [1.0, 5.0])
@in_virtual_time
async def test_a_change_that_comes_alone_to_a_shard_at_rest_is_followed_by_few_reads(
    idle_seconds_max: float, told: bool | None
):
    nothing, alone = Page([], "next", behind=told), Page([at_start(1)], "next", behind=told)
    source = ChangingSource([nothing] * 15 + [alone] + [nothing] * 10)
    it = reader(source, idle_seconds_max=idle_seconds_max)

    await read(it, 26)

    assert pauses(source)[14:18] == [idle_seconds_max, 0.5, 0.75, min(1.125, idle_seconds_max)]
    assert pauses(source)[-1] == idle_seconds_max


@in_virtual_time
async def test_a_shard_that_changes_again_and_again_is_read_five_times_a_second():
    source = ChangingSource([EMPTY] * 15 + [[at_start(n)] for n in range(1, 6)] + [EMPTY])
    it = reader(source, idle_seconds_max=1.0)

    await read(it, 21)

    assert pauses(source)[15:] == [0.5, 0.25, 0.2, 0.2, 0.2]


@in_virtual_time
async def test_a_shard_that_has_just_been_claimed_is_read_at_the_shortest_pause_at_first():
    source = ChangingSource([[at_start(1)], EMPTY, [at_start(2)], EMPTY])

    await read(reader(source, idle_seconds_max=1.0), 4)

    assert pauses(source) == [0.2, 0.3, 0.2]
