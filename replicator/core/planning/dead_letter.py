"""A record that one target refuses, kept apart from the rows of a batch. Pure."""

from dataclasses import dataclass

from replicator.core.stream_record import StreamRecord


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that one target refuses. `superseded`: the batch holds a newer change.

    `of_history`: `target` is a history, which wants every change: none supersedes another.
    """

    target: str
    record: StreamRecord
    reason: str
    sqlstate: str | None = None
    superseded: bool = False
    of_history: bool = False
