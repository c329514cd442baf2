"""What PostgreSQL's and asyncpg's errors mean: each is translated once, here."""

from collections.abc import Collection

import asyncpg

from replicator.errors import (
    BatchTooSlow,
    Fenced,
    ReplicatorError,
    RowRejected,
    SchemaMismatch,
    SinkBusy,
    SinkUnavailable,
)

FENCED_SQLSTATE = "RF001"
"""Raised by the control schema's own function when a compare-and-set touches no row."""

_BUSY = {"40P01", "40001", "55P03"}
_TOO_SLOW = "57014"
_READ_ONLY = "25006"
_UNAVAILABLE_CLASSES = {"08", "53", "57", "58", "F0", "XX"}
_NOT_NULL = "23502"
_PROGRAM_LIMIT_CLASS = "54"
_SPEAKING_CLASSES = {"23", _PROGRAM_LIMIT_CLASS}
"""Classes whose messages name constraints and sizes, never a value."""


def translate(
    error: Exception, *, mapped_columns: Collection[str] = (), doing: str = "working"
) -> ReplicatorError:
    """The ReplicatorError for a failure of asyncpg, a socket or a timeout.

    `mapped_columns` tells a NOT NULL violation that is the record's fault (a mapped column)
    from one that is the table's (a column nobody fills).
    """
    if not isinstance(error, asyncpg.PostgresError):
        return SinkUnavailable(f"PostgreSQL was lost while {doing}: {_first_line(error)}")
    sqlstate = error.sqlstate or ""
    if sqlstate == FENCED_SQLSTATE:
        return Fenced("another worker claimed the shard")
    if sqlstate in _BUSY:
        return SinkBusy(f"PostgreSQL is busy ({sqlstate}): {_first_line(error)}")
    if sqlstate == _TOO_SLOW:
        return BatchTooSlow(f"PostgreSQL cancelled the statement: {_first_line(error)}")
    if sqlstate == _READ_ONLY or sqlstate[:2] in _UNAVAILABLE_CLASSES:
        return SinkUnavailable(f"PostgreSQL cannot work now ({sqlstate}): {_first_line(error)}")
    if sqlstate[:2] in {"42", "3F", "0A"}:
        return SchemaMismatch(
            f"the target does not fit ({sqlstate}): {_first_line(error)}",
            remedy="run `replicator check`, then `replicator migrate` or correct the table",
        )
    if sqlstate == _NOT_NULL and error.column_name not in mapped_columns:
        return SchemaMismatch(
            f"column {error.column_name!r} of {error.table_name!r} must not be null, "
            "but no mapping fills it",
            remedy=f"give {error.column_name!r} a default, drop its NOT NULL, or map it",
        )
    return RowRejected(refusal(error))


def refusal(error: asyncpg.PostgresError) -> str:
    """Why PostgreSQL refused a row, in words that hold no value of it."""
    sqlstate = error.sqlstate or "unknown"
    if sqlstate[:2] in _SPEAKING_CLASSES:
        return f"PostgreSQL refused the row ({sqlstate}): {_first_line(error)}"
    where = [
        f"{what} {name!r}"
        for what, name in (
            ("constraint", error.constraint_name),
            ("column", error.column_name),
            ("table", error.table_name),
        )
        if name
    ]
    return f"PostgreSQL refused the row ({sqlstate} {type(error).__name__})" + (
        f": {', '.join(where)}" if where else ""
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
