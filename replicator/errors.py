"""Every named failure, and what is to be done about each."""

from collections.abc import Sequence
from enum import Enum
from typing import ClassVar

OWN_LIMIT = "statement_timeout"
"""The time limit that every session and transaction of ours sets itself."""


class Disposition(Enum):
    """Reaction of the supervisor to a failure."""

    RETRY = "retry"  # wait and do the same again
    RELEASE = "release"  # forget what we believe, claim again
    REJECT = "reject"  # a record's fault: set it aside, go on
    GAP = "gap"  # records may be lost: the table's on_gap decides
    HALT = "halt"  # stop this table and call a person
    REFUSE = "refuse"  # wrong usage or configuration: end with exit code 2


class ReplicatorError(Exception):
    """Base of all; `remedy` is the command or change that fixes the failure, for a person."""

    disposition: ClassVar[Disposition] = Disposition.RETRY

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


class ConfigurationError(ReplicatorError):
    """The configuration or the command line is wrong; nothing was started."""

    disposition = Disposition.REFUSE


class MigrationDue(ConfigurationError):
    """The control schema or a target table is older than the code or configuration."""


class SourceUnavailable(ReplicatorError):
    """DynamoDB did not answer, throttled the call, or answered with a fault of DynamoDB's own."""


class SourceThrottled(SourceUnavailable):
    """DynamoDB asks for fewer or smaller requests: the same may succeed a little later."""


class SourceDenied(SourceUnavailable):
    """DynamoDB refused the credentials or permissions; tried again slowly, never dropped."""


class ArgumentRefused(SourceUnavailable):
    """The source calls an argument invalid, such as a position that another stream gave."""


class IteratorExpired(SourceUnavailable):
    """A shard iterator is older than 15 minutes; a new one is obtained from the position."""


class PositionTrimmed(ReplicatorError):
    """The position asked for is older than what the shard still holds."""

    disposition = Disposition.GAP


class ShardVanished(ReplicatorError):
    """The stream no longer knows the shard."""

    disposition = Disposition.GAP


class StreamVanished(ReplicatorError):
    """The stream, or the table, does not exist."""

    disposition = Disposition.HALT


class StreamUnfit(ReplicatorError):
    """The table has no stream, or a stream with a view type that cannot be replicated."""

    disposition = Disposition.HALT


class NotPublished(SourceUnavailable):
    """The table's changes do not reach the Kinesis stream now: until then nothing is loaded."""


class KeyChanged(ReplicatorError):
    """The DynamoDB table has another key than the mapping: the table was created again."""

    disposition = Disposition.HALT


class ExportUnfit(ReplicatorError):
    """An export to S3 cannot be loaded: damaged, too old, of another table, or failed."""

    disposition = Disposition.HALT


class UnknownRecord(ReplicatorError):
    """The stream holds a record of unknown meaning; skipping the record could lose data."""

    disposition = Disposition.HALT


class SinkUnavailable(ReplicatorError):
    """PostgreSQL cannot be reached or cannot work now; the connection is thrown away."""

    disposition = Disposition.RELEASE


class SinkBusy(ReplicatorError):
    """A lock, deadlock or serialisation failure: the same batch may succeed at once."""


class TargetLocked(SinkBusy):
    """Another session's lock holds a batch up; the message names that session, if known."""


class BatchTooSlow(SinkBusy):
    """A time limit of the server, or of a pooler, ended the batch: half of the batch is tried.

    `limit` is the setting's name.
    """

    def __init__(self, message: str, *, limit: str = OWN_LIMIT) -> None:
        super().__init__(
            message, remedy=f"raise {limit}, or check triggers and indexes of the target"
        )
        self.limit = limit


class RecordTooSlow(ReplicatorError):
    """A foreign time limit ends the transaction of a single record each time."""

    disposition = Disposition.HALT


class SchemaMismatch(ReplicatorError):
    """The target does not fit the mapping: missing table, column, type or right."""

    disposition = Disposition.HALT


class RejectionHalts(ReplicatorError):
    """A record does not fit a target that says `on_error: halt`."""

    disposition = Disposition.HALT


class BatchRejected(ReplicatorError):
    """PostgreSQL refuses the values of at least one row of the batch."""

    disposition = Disposition.REJECT


class Fenced(ReplicatorError):
    """Another worker claimed the shard after this one; nothing was written."""

    disposition = Disposition.RELEASE


class NotClaimable(ReplicatorError):
    """The shard may not be worked on now: the parent is unfinished, or the table stopped."""

    disposition = Disposition.RELEASE


class PositionLost(ReplicatorError):
    """A position that was on record is gone from the control schema."""

    disposition = Disposition.HALT


class TooManyDeadLetters(ReplicatorError):
    """A table has more open dead letters than the configuration allows."""

    disposition = Disposition.HALT


class LeaseLost(ReplicatorError):
    """The lease row says that the shard is no longer ours."""

    disposition = Disposition.RELEASE


class CoordinationUnavailable(ReplicatorError):
    """The lease table cannot be read or written now."""


class NoticeUndelivered(ReplicatorError):
    """A receiver of notices does not take one; the notice is sent again, and no work waits."""


class ValueRejected(ReplicatorError):
    """One attribute does not convert exactly to the column; the record becomes a dead letter.

    `others` are what the item's further columns reject, told in the message too.
    """

    disposition = Disposition.REJECT
    told_max = 10

    def __init__(
        self,
        reason: str,
        *,
        attribute: str,
        column: str | None,
        others: Sequence["ValueRejected"] = (),
    ) -> None:
        where = f"attribute {attribute!r}" + (f", column {column!r}" if column else "")
        told = [f"{where}: {reason}", *map(str, others[: self.told_max - 1])]
        if len(others) >= self.told_max:
            told.append(f"and {len(others) + 1 - self.told_max} more")
        super().__init__("; ".join(told))
        self.reason = reason
        self.attribute = attribute
        self.column = column

    def with_others(self, others: Sequence["ValueRejected"]) -> "ValueRejected":
        """The rejection of an item of which other columns reject a value too."""
        return ValueRejected(
            self.reason, attribute=self.attribute, column=self.column, others=others
        )
