"""The limit on the time of a transaction, which PostgreSQL has from version 17 on."""

import asyncpg

TRANSACTION_TIMEOUT_SINCE = 17
"""Major version of PostgreSQL that knows `transaction_timeout`."""


def transaction_limit(
    connection: asyncpg.Connection, seconds: float, *, within_one: bool
) -> list[str]:
    """Statements that limit the transactions of a session, or the one that runs, where the role and
    the database have no limit or a longer one; none where the server knows no such limit.

    A frozen process leaves no transaction, and in the middle of a statement no other timer of the
    server runs.
    """
    if connection.get_server_version().major < TRANSACTION_TIMEOUT_SINCE:
        return []
    limit = f"{int(seconds * 1000)} ms"
    return [
        f"select set_config('transaction_timeout', '{limit}', {within_one}) where"
        " current_setting('transaction_timeout')::interval not between '1 ms' and "
        f"'{limit}'::interval"
    ]
