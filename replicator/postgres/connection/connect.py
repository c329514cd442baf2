"""Connections to PostgreSQL: how they are opened, secured and bounded."""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import asyncpg

from replicator.errors import ConfigurationError, ReplicatorError, SinkUnavailable
from replicator.postgres.connection.password_file import password_for
from replicator.postgres.connection.plan_cache_mode import PlanningConnection
from replicator.postgres.connection.server_addresses import Address, resolve
from replicator.postgres.connection.tls import tls_arguments
from replicator.postgres.connection.transaction_limit import transaction_limit

Password = Callable[[], Awaitable[str]]
"""Fetches a password from somewhere else, for every connection again."""
Token = Callable[[str, int, str], Awaitable[str]]
"""Makes a token of RDS IAM for a host, a port and a role."""

FAILURES = (
    OSError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
IDLE_IN_TRANSACTION_SECONDS = 10.0
VALUE_SETTINGS = {
    "client_encoding": "UTF8",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "xmlbinary": "base64",
    "xmloption": "content",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "default_transaction_isolation": "read committed",
}
"""Settings that change values or what a statement means: a role or database may have others."""
SEARCH_PATH = "pg_catalog, pg_temp"
"""Search path of all statements: a role that may create functions, operators or types
elsewhere cannot change the meaning; tables are named with schemas."""
PIN = f"set search_path = {SEARCH_PATH}"
"""Statement that pins the search path for a session.

The path is no parameter of the session's start: `default` stays the role's or the database's, which
is what triggers see (`THEIR_PATH`).
"""
PIN_WITHIN = f"set local search_path = {SEARCH_PATH}"
"""Statement that pins the search path for a transaction."""
THEIR_PATH = "pg_catalog.set_config('search_path', null, true)"
"""Expression that sets the search path back to the role's or the database's up to the end of the
transaction, for functions that look up names while they run.

The statement that evaluates the expression is resolved already.
"""
STATEMENT_BYTES_MAX = 1024 * 1024  # a cached statement; wide tables have long ones
_WRONG = {
    "28P01": "the password is wrong",
    "28000": "the server does not let the role in",
    "3D000": "the database does not exist",
    "42501": "the role may not connect to the database",
    "42704": "the server does not know a parameter of the DSN",
    "22023": "the server refuses the value of a parameter of the DSN",
}
_REMEDIES = {
    "28P01": "correct target.dsn, target.password_file or PGPASSWORD",
    "28000": "check the role's name, its LOGIN right and the server's pg_hba.conf",
    "3D000": "create the database, or correct its name in target.dsn or PGDATABASE",
    "42501": "grant connect on the database to the role",
}


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Settings of a connection. `dsn` None: the `PG*` variables.

    `dsn_file` and `password_file` are read, `password` and `iam_token` are asked, on every connect.
    Behind a pooler no timeout can be set for a session: set them for the role.
    """

    dsn: str | None = field(default=None, repr=False)
    dsn_file: Path | None = None
    password_file: Path | None = None
    password: Password | None = field(default=None, repr=False)
    iam_token: Token | None = field(default=None, repr=False)
    pooler: Literal["none", "transaction"] = "none"
    connect_timeout_seconds: float = 10.0
    statement_timeout_seconds: float = 30.0
    lock_timeout_seconds: float = 5.0
    application_name: str = "replicator"


async def connect(
    settings: ConnectionSettings, *, transaction_seconds_max: float | None = None
) -> asyncpg.Connection:
    """A new connection of one's own; the server ends transactions on it that last for longer than
    `transaction_seconds_max`, where it can and no pooler is between.

    SinkUnavailable when trying again may help; ConfigurationError when a person must change
    something. Neither message holds a secret.
    """
    address = address_of(settings)
    seconds = address.connect_timeout_seconds or settings.connect_timeout_seconds
    arguments = {**await _arguments(settings, address), "timeout": seconds}
    try:
        async with asyncio.timeout(seconds):
            connection: asyncpg.Connection = await asyncpg.connect(**arguments)
            try:
                if settings.pooler == "none":
                    statements = [PIN]
                    if transaction_seconds_max is not None:
                        statements += transaction_limit(
                            connection, transaction_seconds_max, within_one=False
                        )
                    await connection.execute("; ".join(statements))
            except BaseException:  # nobody else knows it yet
                connection.terminate()
                raise
            return connection
    except TimeoutError as error:
        message = f"{address} did not answer in {seconds:g} s"
        raise SinkUnavailable(message, remedy="check host, port and firewall") from error
    except FAILURES as error:
        raise _translate(error, address) from error


def address_of(settings: ConnectionSettings) -> Address:
    """The address that the settings lead to now; ConfigurationError when they cannot be read."""
    return resolve(_dsn(settings), os.environ)


def _dsn(settings: ConnectionSettings) -> str | None:
    if settings.dsn_file is not None:
        return _secret(settings.dsn_file, "target.dsn_file")
    return settings.dsn


async def _arguments(settings: ConnectionSettings, address: Address) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "host": list(address.hosts) if address.named else None,
        "port": list(address.ports) if address.named else address.ports[0],
        "user": address.user,
        "database": address.database,
        "target_session_attrs": address.session_attributes
        or ("read-write" if len(address.hosts) > 1 else None),
        **tls_arguments(address, encrypted=settings.iam_token is not None),
    }
    if settings.iam_token is not None:
        arguments["password"] = await settings.iam_token(
            address.hosts[0], address.ports[0], address.user
        )
    elif settings.password is not None:
        arguments["password"] = await settings.password()
    elif settings.password_file is not None:
        arguments["password"] = _secret(settings.password_file, "target.password_file")
    else:  # never None: asyncpg would read the password file in its own way
        arguments["password"] = address.password or password_for(address) or ""
    options = {} if address.options is None else {"options": address.options}
    if settings.pooler == "transaction":
        return {**arguments, "statement_cache_size": 0, "server_settings": options}
    return {
        **arguments,
        "max_cacheable_statement_size": STATEMENT_BYTES_MAX,
        "connection_class": PlanningConnection,
        "server_settings": {**options, **session_parameters(settings)},
    }


def session_parameters(settings: ConnectionSettings) -> dict[str, str]:
    """Session settings, so that the server ends what hangs even if the process cannot."""
    return {
        "application_name": settings.application_name,
        "statement_timeout": _milliseconds(settings.statement_timeout_seconds),
        "lock_timeout": _milliseconds(settings.lock_timeout_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(IDLE_IN_TRANSACTION_SECONDS),
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
        **VALUE_SETTINGS,
        # arrays of every length are parameters: a plan for all of them would be a plan for none
        # (but for the statements that have one plan alone: `plan_cache_mode`)
        "plan_cache_mode": "force_custom_plan",
        "jit": "off",
    }


VALUES_WITHIN = f"{PIN_WITHIN}; " + "; ".join(
    f"set local {name} = '{value}'"
    for name, value in VALUE_SETTINGS.items()
    if name != "client_encoding"  # a session's, which every pooler keeps
)
"""Statements that pin these settings and the search path for a transaction, where a pooler gives
the transaction a session of its own."""


def _milliseconds(seconds: float) -> str:
    return str(max(1, int(seconds * 1000)))


def _secret(file: Path, setting: str) -> str:
    try:
        text = file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        message = f"{setting} cannot be read: {file}: {reason}"
        raise ConfigurationError(message, remedy=f"correct {setting}, or the file's rights") from (
            error
        )
    if not text:
        message = f"{setting} is empty: {file}"
        raise ConfigurationError(message, remedy="write the secret into the file")
    return text


def _translate(error: Exception, address: Address) -> ReplicatorError:
    match error:
        case asyncpg.PostgresError():
            return _server_answered(error, address)
        case asyncpg.TargetServerAttributeNotMatched():
            message = f"{address}: no server accepts writes now"
            return SinkUnavailable(message, remedy="wait for the failover to end")
        case ssl.SSLError():
            message = f"{address}: TLS failed: {error.reason or 'handshake'}"
            return ConfigurationError(
                message,
                remedy="give the server's certificate authority as sslrootcert in target.dsn "
                "(or PGSSLROOTCERT), and connect to the name in its certificate; "
                "sslrootcert=system means the authorities that this machine trusts",
            )
        case ConnectionError() if "rejected SSL upgrade" in str(error):
            return _no_tls(address)
        case asyncpg.InterfaceError() | ValueError() if not isinstance(error, OSError):
            # asyncpg's own words may quote a part of the DSN
            message = f"{address}: the parameters of target.dsn or the PG* variables do not fit"
            return ConfigurationError(
                message, remedy="check sslmode, sslrootcert, sslcert, sslkey and the other ones"
            )
        case _:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return SinkUnavailable(
                f"{address} cannot be reached: {reason}",
                remedy="check that PostgreSQL runs there, and host, port and firewall",
            )


def _server_answered(error: asyncpg.PostgresError, address: Address) -> ReplicatorError:
    sqlstate = error.sqlstate or ""
    if sqlstate in _WRONG:
        message = f"{address}: {_WRONG[sqlstate]} ({sqlstate})"
        return ConfigurationError(
            message, remedy=_REMEDIES.get(sqlstate, "correct the parameters in target.dsn")
        )
    first_line = (str(error).splitlines() or [""])[0]
    if "unsupported startup parameter" in first_line:
        message = f"{address} is a pooler that takes no parameters at the start of a session"
        return ConfigurationError(message, remedy="say `pooler: transaction` under `target`")
    message = f"{address} does not take connections now ({sqlstate}): {first_line}"
    return SinkUnavailable(message)


def _no_tls(address: Address) -> ConfigurationError:
    if address.sslmode is None:
        return ConfigurationError(
            f"{address} offers no TLS, and it is not on this machine: passwords and data would "
            "cross the network in the clear",
            remedy="enable TLS on the server, or allow plaintext explicitly with "
            "?sslmode=disable in target.dsn (or PGSSLMODE=disable)",
        )
    return ConfigurationError(
        f"{address} offers no TLS, but sslmode is {address.sslmode}",
        remedy="enable TLS on the server, or change sslmode (channel_binding=require and "
        "sslrootcert=system mean verify-full)",
    )
