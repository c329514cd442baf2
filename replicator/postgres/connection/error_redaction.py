"""Redacts PostgreSQL's errors: words for log, status and dead letters, without a value of a row.

PostgreSQL quotes values in the messages of some classes, in the details of others, and a trigger
may quote one anywhere. Only what names constraints, columns, tables and sizes is passed on.
"""

import re

import asyncpg

_RAISE = "exec_stmt_raise"
"""PostgreSQL's own function behind `raise`, which comes with each error in every language."""
_INPUT_SQLSTATES = {"42601", "42622"}
_INPUT_SOURCES = {"ltree_io.c", "hstore_io.c"}
"""Source files in which extensions report a value's wrong text as a syntax error: names of
PostgreSQL's source files, which come with each error in every language."""
_EXHAUSTED = "2200H"
"""A sequence at the end: of class 22, but no value's fault."""
_TELLING_CLASSES = {"23", "54"}
"""Classes whose messages name constraints and sizes, never a value."""
_VALUES_IN_MESSAGE = {"22", "P0"}
_VALUES_IN_DETAIL = {"22", "23", "P0", "21"}
_is_no_label = re.compile(r'invalid input value for enum ("(?:[^"]|"")+"|[^:"]+): ').match


def refusal(error: asyncpg.PostgresError) -> str:
    """Why PostgreSQL refused a row, in words that hold no value of it."""
    sqlstate = error.sqlstate or "unknown"
    if sqlstate[:2] in _TELLING_CLASSES and not is_raised(error):
        return f"PostgreSQL refused the row ({sqlstate}): {first_line(error)}"
    if is_of_input(error):
        of = str(error.server_source_filename).removesuffix("_io.c")
        return f"PostgreSQL refused the row ({sqlstate}): a text that this version's {of} refuses"
    enum = _is_no_label(str(error))
    if enum is not None:
        return f"PostgreSQL refused the row ({sqlstate}): no label of the enum type {enum[1]}"
    where = _names(error)
    if is_raised(error):
        where = ", ".join(filter(None, (where, _place(error))))
    return f"PostgreSQL refused the row ({sqlstate} {type(error).__name__})" + (
        f": {where}" if where else ""
    )


def is_raised(error: asyncpg.PostgresError) -> bool:
    """A `raise` of PL/pgSQL: the words are a trigger's own, and may hold a value."""
    return getattr(error, "server_source_function", None) == _RAISE


def is_of_input(error: asyncpg.PostgresError) -> bool:
    """A value's text that an extension does not take, and no fault of the statement."""
    source = getattr(error, "server_source_filename", None)
    return error.sqlstate in _INPUT_SQLSTATES and source in _INPUT_SOURCES


def safe_words(error: asyncpg.PostgresError) -> str:
    """PostgreSQL's message, detail and hint, but none that may quote a value."""
    sqlstate = error.sqlstate or "unknown"
    kind = sqlstate[:2]
    if (kind in _VALUES_IN_MESSAGE or is_raised(error)) and sqlstate != _EXHAUSTED:
        names = ", ".join(filter(None, (_names(error), _place(error))))
        told = f"({sqlstate} {type(error).__name__})" + (f": {names}" if names else "")
        return f"{told}; PostgreSQL's log has its words"
    told = f"({sqlstate}): {first_line(error)}"
    if error.detail and kind not in _VALUES_IN_DETAIL:
        told += f"; detail: {_first_line_of(error.detail)}"
    if error.hint:
        told += f"; hint: {_first_line_of(error.hint)}"
    return told


def _place(error: asyncpg.PostgresError) -> str:
    """The function and line that failed, as PostgreSQL's context names them."""
    return _first_line_of(getattr(error, "context", None) or "")


def _names(error: asyncpg.PostgresError) -> str:
    return ", ".join(
        f"{what} {name!r}"
        for what, name in (
            ("constraint", error.constraint_name),
            ("column", error.column_name),
            ("table", error.table_name),
        )
        if name
    )


def first_line(error: BaseException) -> str:
    return _first_line_of(str(error)) or type(error).__name__


def _first_line_of(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0] if lines else ""
