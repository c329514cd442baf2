"""Translates failures of asyncpg, sockets and timeouts into ReplicatorErrors, once.

A row is blamed only by SQLSTATEs that a value of it can cause (`ROW_SQLSTATES`); the engine then
looks for other rows that pass. Everything unknown is the table's fault and halts it with
PostgreSQL's own words: an unknown error that was taken for a row's would dead-letter every change.
"""

from collections.abc import Collection, Iterator

import asyncpg

from replicator.errors import (
    BatchRejected,
    BatchTooSlow,
    Fenced,
    ReplicatorError,
    SchemaMismatch,
    SinkBusy,
    SinkUnavailable,
    TargetLocked,
)
from replicator.postgres.connection.error_redaction import (
    first_line,
    is_of_input,
    is_raised,
    refusal,
    safe_words,
)

FENCED_SQLSTATE = "RF001"
"""Raised by the control schema's own function when a compare-and-set touches no row."""
RAISED_SQLSTATES = frozenset(("P0001", "P0002", "P0003", "P0004"))
"""`raise`, `into strict` and `assert` in a trigger: may mean the row, or every row."""
RAISED_CLASSES = frozenset(("53", "57", "58", "F0", "XX"))
"""Classes of SQLSTATEs that tell of a server that cannot work, unless a trigger gave one to the
`raise`."""
ROW_SQLSTATES = frozenset(
    (
        "22000",  # data exception: what extensions raise, such as a vector's wrong dimension
        "22001",  # string too long
        "22003",  # number out of range
        "22007",  # no date or time
        "22008",  # date or time out of range
        "22009",  # no time zone
        "22012",  # division by zero, in a generated column or a check
        "22015",  # interval out of range
        "22021",  # NUL, or a byte that the encoding does not know
        "22023",  # value that a function does not take
        "22026",  # bit string of another length
        "2202E",  # array of the wrong shape
        "2201E",  # logarithm of what has none
        "2201F",  # power of what has none
        "22030",  # JSON with a key twice
        "22031",  # JSON that a path does not fit
        "22032",  # no JSON
        "22P02",  # text that is none of the type
        "22P03",  # bytes that are none of the type
        "22P05",  # character that the database's encoding lacks
        "23001",  # foreign key, restrict (since 18)
        "23502",  # NULL in a mapped column
        "23503",  # foreign key
        "23505",  # unique index that is not the key's
        "23514",  # check constraint
        "23P01",  # exclusion constraint
        "54000",  # value too large for an index
        *RAISED_SQLSTATES,
    )
)

_BUSY = {"40P01", "40001"}
_LOCKED = "55P03"
_LIMITS = {
    "57014": "statement_timeout",
    "25P03": "idle_in_transaction_session_timeout",
    "25P04": "transaction_timeout",
}
_POOLER_LIMITS = {
    "query timeout": "query_timeout",
    "query_timeout": "query_timeout",
    "transaction timeout": "transaction_timeout",
    "transaction_timeout": "transaction_timeout",
    "idle transaction timeout": "idle_transaction_timeout",
    "idle_transaction_timeout": "idle_transaction_timeout",
}
"""PgBouncer's messages when a limit ends a client, and the settings."""
_LOST_PREPARED = {"26000", "42P05"}
_READ_ONLY = "25006"
_UNAVAILABLE_CLASSES = {"08", "53", "57", "58", "F0", "XX"}
_CORRUPTED = {"XX001", "XX002"}
_NOT_NULL = "23502"
_CHECK = "23514"
POOLER_REMEDY = (
    "say `pooler: transaction` under `target`, or connect to the server itself; "
    "then restart the workers"
)
LOCKED_REMEDY = "see docs/runbook.md#targetlocked for the query that finds who has the lock"
CHECK_REMEDY = "run `replicator check`, then `replicator migrate` or correct the table"


def translate(
    error: Exception, *, mapped_columns: Collection[str] = (), doing: str = "working"
) -> ReplicatorError:
    """The ReplicatorError for a failure of asyncpg, a socket or a timeout.

    `mapped_columns` tells a NOT NULL violation that is the record's fault (a mapped column)
    from one that is the table's (a column nobody fills).
    """
    told = _server_said(error)
    if not isinstance(told, asyncpg.PostgresError):
        return SinkUnavailable(f"PostgreSQL was lost while {doing}: {first_line(told)}")
    return _passing(told) or _lasting(told, mapped_columns)


def _passing(error: asyncpg.PostgresError) -> ReplicatorError | None:
    """The error for a failure after which the statement, or a smaller batch, may be tried again."""
    sqlstate = error.sqlstate or ""
    if is_raised(error) and sqlstate[:2] in RAISED_CLASSES:
        return None
    said = f"({sqlstate}): {first_line(error)}"
    if sqlstate == FENCED_SQLSTATE:
        return Fenced("another worker claimed the shard")
    if sqlstate == _LOCKED:
        return TargetLocked(f"PostgreSQL is busy {said}", remedy=LOCKED_REMEDY)
    if sqlstate in _BUSY:
        return SinkBusy(f"PostgreSQL is busy {said}")
    if (limit := _LIMITS.get(sqlstate)) is not None:
        return BatchTooSlow(f"{limit} of PostgreSQL ended the transaction {said}", limit=limit)
    if sqlstate == "08P01" and (limit := _POOLER_LIMITS.get(first_line(error))) is not None:
        limit = f"the pooler's {limit}"
        return BatchTooSlow(f"{limit} ended the transaction {said}", limit=limit)
    if sqlstate in _LOST_PREPARED:
        return SinkUnavailable(
            "a pooler stands between this process and PostgreSQL, and hands every transaction to "
            f"another session {said}",
            remedy=POOLER_REMEDY,
        )
    if sqlstate == _READ_ONLY or (
        sqlstate[:2] in _UNAVAILABLE_CLASSES and sqlstate not in _CORRUPTED
    ):
        return SinkUnavailable(f"PostgreSQL cannot work now {said}")
    return None


def _lasting(
    error: asyncpg.PostgresError, mapped_columns: Collection[str]
) -> BatchRejected | SchemaMismatch:
    """The error for a failure that is the row's fault or the table's."""
    sqlstate = error.sqlstate or ""
    if is_of_input(error) or (is_raised(error) and sqlstate[:2] in RAISED_CLASSES):
        return BatchRejected(refusal(error))
    if sqlstate[:2] in {"42", "3F", "0A"}:
        return SchemaMismatch(f"the target does not fit {safe_words(error)}", remedy=CHECK_REMEDY)
    if sqlstate == _NOT_NULL and error.column_name and error.column_name not in mapped_columns:
        return SchemaMismatch(
            f"column {error.column_name!r} of {error.table_name!r} must not be null, "
            "but no mapping fills it",
            remedy=f"give {error.column_name!r} a default, drop its NOT NULL, or map it",
        )
    if sqlstate == _CHECK and error.constraint_name is None:
        return _no_partition(error)
    if sqlstate in ROW_SQLSTATES:
        return BatchRejected(refusal(error))
    return SchemaMismatch(f"PostgreSQL refuses to write {safe_words(error)}", remedy=_remedy(error))


def may_mean_every_row(sqlstate: str | None) -> bool:
    """True where a trigger chose the SQLSTATE of a refused row."""
    return sqlstate in RAISED_SQLSTATES or (sqlstate or "")[:2] in RAISED_CLASSES


def _server_said(error: BaseException) -> BaseException:
    """The server's last error before closing the connection, if beneath a lost one.

    asyncpg reports the loss, or a `rollback` that met it, with the server's error as the cause.
    """
    lost = isinstance(error, (asyncpg.PostgresConnectionError, asyncpg.InterfaceError))
    if not lost:
        return error
    for cause in _causes(error):
        if (
            isinstance(cause, asyncpg.PostgresError)
            and getattr(cause, "severity", None) in {"FATAL", "PANIC"}
            and cause.sqlstate
        ):
            return cause
    return error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _no_partition(error: asyncpg.PostgresError) -> SchemaMismatch:
    table = error.table_name or "the target"
    return SchemaMismatch(
        f"{table!r} has no partition for a row {safe_words(error)}",
        remedy=f"create the partition, or a default one of {table!r}",
    )


def _remedy(error: asyncpg.PostgresError) -> str:
    match error.sqlstate:
        case "55000" if "replica identity" in str(error):
            return (
                "`alter table … replica identity using index …`, or `replica identity full`, as "
                "`replicator check` says it for this table"
            )
        case "2200H":
            return "let the sequence go further: `replicator check` has the statement"
        case "XX001" | "XX002":
            return "the table or an index is damaged: `reindex` it, or restore it"
        case _:
            return error.hint or "fix what PostgreSQL names; `replicator check` may say more"
