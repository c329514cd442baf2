"""Exceptions as text that quotes no item: messages of other people's exceptions are left out."""

import re
import traceback

from replicator.errors import ReplicatorError

_TEXT_MAX = 500
_CHAIN_MAX = 10
_CHANGING = re.compile(
    r"0x[0-9a-f]+|\b[0-9a-f]{8}[0-9a-f-]*\b|\b(?=\w*\d)[A-Z0-9]{16,}\b|\d+", re.I
)
# what asyncpg knows of a PostgreSQL error besides its message, which may quote a row
_SAFE_ATTRIBUTES = ("sqlstate", "schema_name", "table_name", "column_name", "constraint_name")


def one_line(error: BaseException, *, messages: bool = False) -> str:
    """The failure in one line of bounded length.

    The message is there if the program or the operating system wrote the message; with `messages`
    always.
    """
    name = type(error).__name__
    if messages or isinstance(error, ReplicatorError | OSError):
        text = " ".join(str(error).split())
    else:
        known = ((key, getattr(error, key, None)) for key in _SAFE_ATTRIBUTES)
        text = " ".join(f"{key}={value}" for key, value in known if isinstance(value, str))
    text = text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…"
    return f"{name}: {text}" if text else name


def fingerprint(error: BaseException) -> str:
    """Text of a failure without the numbers and request ids, equal for repetitions of the
    failure.
    """
    return _CHANGING.sub("#", one_line(error))


def trace(error: BaseException, *, messages: bool) -> str:
    """The traceback with the causes, oldest first."""
    return "".join(_trace(error, messages, _CHAIN_MAX)).rstrip()


def _trace(error: BaseException, messages: bool, depth: int) -> list[str]:
    lines: list[str] = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth:
        lines += _trace(cause, messages, depth - 1)
        lines.append("\nwhich led to:\n")
    lines += traceback.format_tb(error.__traceback__)
    lines.append(one_line(error, messages=messages) + "\n")
    if isinstance(error, BaseExceptionGroup) and depth:
        for number, member in enumerate(error.exceptions[:_CHAIN_MAX], 1):
            lines.append(f"\nmember {number}:\n")
            lines += _trace(member, messages, depth - 1)
    return lines
