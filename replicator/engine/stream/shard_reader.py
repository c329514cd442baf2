"""Reads one shard page by page from a position, and never skips."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from replicator.clock import Clock
from replicator.core.stream_record import Page, Position, StreamRecord
from replicator.core.telemetry_events import unobserved
from replicator.engine.backoff import Backoff, stopped_within
from replicator.engine.ports import Source
from replicator.errors import (
    IteratorExpired,
    PositionTrimmed,
    ReplicatorError,
    SourceDenied,
    SourceUnavailable,
)

EMPTY_PAGES_TO_HEAD = 5
"""Empty pages in a row after which a shard is at its head: one proves nothing, and up to five calls
were seen to cross an empty shard."""
ITERATOR_SECONDS_MAX = 4 * 60.0
"""Age at which an iterator is replaced: DynamoDB's expire after 15 minutes, Kinesis' after 5."""
PAUSE_SECONDS_MIN = 0.2
"""Shortest pause between two reads of a shard: the service is said to allow five in a second."""
PAUSE_BEHIND_RECORDS_MAX = 0.5
"""Longest pause behind an answer with records, after which a shard is on the way to its pace."""
BEHIND_SECONDS = 2.0
"""Age of a page's last record above which the next page is read at once: there is likely more."""
FULL_PAGE_RECORDS = 900
"""Number of records in a full answer, which holds fewer where the records are large."""
FULL_PAGE_BYTES = 1_000_000
"""Size of a full answer in bytes; the JSON of records is longer than what the service counts."""
SPURIOUS_TRIMS_MAX = 20
"""Answers "trimmed" in a row that are not believed: emulators give some for a fresh shard."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One page. `repeated`: records read before.

    `requested_at`: time of the request; everything created until then was to be had. An answer may
    set the source's clock, which then tells another time of the request: the earlier one counts.
    `answered_at`: the clock when the answer was there; nothing was trimmed later than that.
    """

    records: list[StreamRecord]
    ended: bool
    requested_at: datetime
    answered_at: datetime
    head_at: datetime | None
    """Everything created before is read: the first of five empty answers in a row, or an answer
    that says so itself.
    """
    repeated: Sequence[StreamRecord] = ()
    size_bytes: int = 0
    """Size of the page in bytes, as received."""


class ShardReader:
    """A position in one shard that moves forward with every page.

    `after` is the position of the last record that is applied; None reads from the oldest record.
    `since`: where nothing was read yet, earlier records are not wanted, if the source can begin at
    a time. `may_read_around` decides, for the time of an answer, whether a trimmed position may be
    passed by reading from the oldest record. `attempting` hears of every request.
    """

    def __init__(
        self,
        source: Source,
        clock: Clock,
        *,
        stream_arn: str,
        shard_id: str,
        after: Position | None,
        idle_seconds_max: float,
        may_read_around: Callable[[datetime], bool],
        attempting: Callable[[], None] = unobserved,
        since: datetime | None = None,
    ) -> None:
        self._since = since
        self._source = source
        self._clock = clock
        self._stream_arn = stream_arn
        self._shard_id = shard_id
        self._position = after
        self._idle_seconds_max = idle_seconds_max
        self._may_read_around = may_read_around
        self._attempting = attempting
        self._from_oldest = False
        self._iterator: str | None = None
        self._iterator_until = 0.0
        self._pause_seconds = 0.0
        self._empties: deque[datetime] = deque(maxlen=EMPTY_PAGES_TO_HEAD)
        self._backoff = Backoff(base=0.1, cap=5.0)
        self._trims = 0
        self._before: tuple[str | None, Position | None] = None, after
        """Iterator and position of the last answer."""

    @property
    def expects_more(self) -> bool:
        """True when the next answer is likely to hold records, so that it is asked for without
        a pause.
        """
        return self._pause_seconds == 0.0

    async def next(
        self, stopping: asyncio.Event, *, failed: Callable[[ReplicatorError], None] = unobserved
    ) -> Answer | None:
        """The next answer, after the pause that politeness asks for; None when asked to stop.

        Throttling, faults and expired iterators are tried again without end, at the same position;
        `failed` hears of each. PositionTrimmed and ShardVanished are for the caller to judge.
        """
        while not await stopped_within(stopping, self._pause_seconds):
            requested_at = self._clock.now()
            self._attempting()
            try:
                answer = await self._read(requested_at)
            except IteratorExpired as error:
                failure: ReplicatorError = error
                self._iterator = None
                self._pause_seconds = 0.0
            except SourceDenied as error:
                failure = error
                self._iterator = None
                self._pause_seconds = max(2.0, self._backoff.next_seconds())
            except SourceUnavailable as error:
                failure = error
                self._pause_seconds = self._backoff.next_seconds()
            except PositionTrimmed as error:
                failure = error
                self._read_from_oldest_or_raise(error)
            else:
                self._backoff.succeeded()
                return answer
            failed(failure)
        return None

    def put_back(self) -> None:
        """Read the last answer again: the answer was not kept."""
        self._iterator, self._position = self._before
        self._pause_seconds = 0.0

    async def _read(self, requested_at: datetime) -> Answer:
        began = self._clock.monotonic()
        if self._iterator is None or self._clock.monotonic() > self._iterator_until:
            after = None if self._from_oldest else self._position
            since = None if self._from_oldest else self._since
            self._iterator = await self._source.iterator(
                self._stream_arn, self._shard_id, after=after, since=since
            )
            self._iterator_until = self._clock.monotonic() + ITERATOR_SECONDS_MAX
        page = await self._source.read(self._iterator)
        self._before = self._iterator, self._position
        answered_at = self._clock.now()
        elapsed = timedelta(seconds=self._clock.monotonic() - began)
        requested_at = min(requested_at, answered_at - elapsed)
        self._iterator = page.next_iterator
        self._iterator_until = self._clock.monotonic() + ITERATOR_SECONDS_MAX
        position = self._position
        fresh, repeated = page.records, list[StreamRecord]()
        if position is not None and fresh and fresh[0].position <= position:
            repeated = [record for record in fresh if record.position <= position]
            fresh = [record for record in fresh if record.position > position]
        if fresh:
            self._position = fresh[-1].position
            self._from_oldest = False
            self._trims = 0
        head_at = self._note(page, requested_at)
        ended = page.next_iterator is None
        return Answer(fresh, ended, requested_at, answered_at, head_at, repeated, page.size_bytes)

    def _note(self, page: Page, requested_at: datetime) -> datetime | None:
        """Decide the pause before the next page, and whether this one was the head."""
        if page.behind is not None:
            return self._note_told(page, requested_at, behind=page.behind)
        if page.records:
            self._empties.clear()
            created_at = page.records[-1].created_at
            behind = (
                created_at is not None and requested_at.timestamp() - created_at > BEHIND_SECONDS
            )
            self._pause_seconds = 0.0 if behind or _is_full(page) else self._pause_behind_records()
            return None
        self._empties.append(requested_at)
        longer = max(PAUSE_SECONDS_MIN, self._pause_seconds * 1.5)
        self._pause_seconds = min(longer, self._idle_seconds_max)
        return self._empties[0] if len(self._empties) == EMPTY_PAGES_TO_HEAD else None

    def _note_told(self, page: Page, requested_at: datetime, *, behind: bool) -> datetime | None:
        """`_note` where the source itself says whether it holds more: one answer tells the head."""
        if behind or page.records:
            self._pause_seconds = 0.0 if behind else self._pause_behind_records()
            return None
        longer = max(PAUSE_SECONDS_MIN, self._pause_seconds * 1.5)
        self._pause_seconds = min(longer, self._idle_seconds_max)
        return requested_at

    def _pause_behind_records(self) -> float:
        """The pause behind an answer with all the records there were: half the one before it.

        A change that comes alone to a shard at rest is no sign of many: reading at the shortest
        pause at once would ask for nothing three times more, which costs as much as the change.
        """
        return max(PAUSE_SECONDS_MIN, min(PAUSE_BEHIND_RECORDS_MAX, self._pause_seconds / 2))

    def _read_from_oldest_or_raise(self, error: PositionTrimmed) -> None:
        """Go on at the oldest record where that is proved to lose nothing, or was accepted."""
        self._trims += 1
        if self._trims > SPURIOUS_TRIMS_MAX or not self._may_read_around(self._clock.now()):
            raise error
        self._from_oldest = True
        self._iterator = None
        self._pause_seconds = self._backoff.next_seconds()


def _is_full(page: Page) -> bool:
    """True when another record like these would not have fit, so that more are likely."""
    records = len(page.records)
    return records >= FULL_PAGE_RECORDS or page.size_bytes * (1 + 1 / records) > FULL_PAGE_BYTES
