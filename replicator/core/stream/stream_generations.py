"""The order of the streams that a table has had: by the time in the labels. Pure."""

from datetime import UTC, datetime, timedelta

from replicator.core.stream.source_kind import KINESIS, kind_of

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

SCAN = 0
"""The generation of what a scan read: older than every stream."""
TIMES = 1
"""The generation of every stream whose changes are ordered by DynamoDB's own creation times, which
compare whatever stream brings the changes.

Creation times do not compare with sequence numbers: versions are cleared where a table moves
between the kinds.
"""


def label_time(stream_arn: str) -> datetime:
    """Creation time of a stream: the label, in UTC."""
    return datetime.fromisoformat(kind_of(stream_arn).label(stream_arn)).replace(tzinfo=UTC)


def generation(stream_arn: str) -> int:
    """The stream's number among those of the table: the label's time in microseconds.

    The number never changes, also when other streams are found later. Sequence numbers say nothing
    about the order: numbers may start again with a new stream.
    """
    if kind_of(stream_arn) is KINESIS:
        return TIMES
    return (label_time(stream_arn) - _BEGINNING) // timedelta(microseconds=1)
