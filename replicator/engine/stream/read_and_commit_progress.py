"""Progress of one shard or segment: the last read, records that wait for COMMIT, the failures."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from replicator.core.stream_record import StreamRecord
from replicator.errors import ReplicatorError


@dataclass(frozen=True, slots=True)
class FailureText:
    """A failure in words, without the value of an item, and what fixes it."""

    what: str
    remedy: str | None = None

    @classmethod
    def of(cls, error: BaseException) -> "FailureText":
        """The message of a failure that has a name here, of any other its type alone."""
        if isinstance(error, ReplicatorError):
            return cls(str(error), error.remedy)
        return cls(f"{type(error).__name__}, which nobody foresaw: the log has it")


@dataclass(frozen=True, slots=True)
class Pending:
    """Records that were read and are not committed. `created_at` None: the source did not say."""

    since: float
    created_at: datetime | None


@dataclass(slots=True)
class ReadAndCommitProgress:
    """Time of a shard's last read, and of the oldest read that waits for a COMMIT.

    A segment of a snapshot has the same progress, of pages of items.

    Times are monotonic seconds. A failed attempt to work on the shard leaves the records pending:
    only a COMMIT, or an answer that there is nothing more, proves the contrary.
    """

    begun_at: float
    read_at: float | None = None
    read_failure: FailureText | None = None
    """Failure of the last read; None after a success."""
    apply_failure: FailureText | None = None
    """Failure of the last transaction; None after a COMMIT."""
    _pages: deque[Pending] = field(default_factory=deque)
    _carried: Pending | None = None
    _end: Pending | None = None
    _put_back: Pending | None = None
    """The page that will be read again, as there was no room for it."""

    @property
    def pending(self) -> Pending | None:
        """The oldest records that wait for a COMMIT."""
        if self._carried is not None:
            return self._carried
        return self._pages[0] if self._pages else self._put_back or self._end

    def begins(self) -> None:
        """Another attempt: what the one before had read will be read again."""
        self._carried, self._end, self._put_back = self.pending, None, None
        self._pages.clear()

    def was_read(self, records: Sequence[StreamRecord], *, ended: bool, now: float) -> None:
        """Take note of an answer of the source; an end waits for being committed, too."""
        self.read_at, self.read_failure = now, None
        since, self._put_back = now if self._put_back is None else self._put_back.since, None
        if ended:
            self._end = Pending(now, None)
        if records:
            created = records[0].created_at
            instant = None if created is None else datetime.fromtimestamp(created, UTC)
            self._pages.append(Pending(since, instant))

    def put_back(self) -> None:
        """Take note that the last answer's records are not kept, and will be read again."""
        self._put_back = self._pages.pop()

    def holds(self, *, now: float) -> None:
        """Take note of a page of items that is written from now on; they have no time."""
        self._pages.append(Pending(now, None))

    def moved(self, *, now: float) -> None:
        """Part of the oldest page is committed: work goes on."""
        self.apply_failure = None
        pending = self.pending
        if pending is not None:
            self._carried = Pending(now, pending.created_at)

    def committed(self) -> None:
        """Note that the oldest page is committed as a whole."""
        self._carried, self.apply_failure = None, None
        if self._pages:
            self._pages.popleft()

    def nothing_more(self) -> None:
        """The source has nothing behind the position: what an attempt before had read is in."""
        self._carried = None

    def read_failed(self, error: Exception) -> None:
        """Note a failed read, which is repeated."""
        self.read_failure = FailureText.of(error)

    def apply_failed(self, error: Exception) -> None:
        """Note a failed transaction, which is repeated."""
        self.apply_failure = FailureText.of(error)
