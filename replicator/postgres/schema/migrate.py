"""Brings control schema, target tables and registrations up to date, beside running workers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import asyncpg

from replicator.core.check_findings import Finding
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.errors import (
    ConfigurationError,
    ReplicatorError,
    SchemaMismatch,
    SinkBusy,
    SinkUnavailable,
)
from replicator.postgres.connection.connect import (
    VALUES_WITHIN,
    ConnectionSettings,
    address_of,
    connect,
)
from replicator.postgres.connection.error_translation import translate
from replicator.postgres.schema.database_survey import Survey, survey
from replicator.postgres.schema.ddl_diff import Statement
from replicator.postgres.schema.registered_mappings import register
from replicator.postgres.schema.server_fitness import require_fit_server

THINKS_LONGER = "set local idle_in_transaction_session_timeout = '60 s'"
"""Statement that lets a transaction idle longer: the tool for migrations is loaded within, which
takes long on a slow machine."""
LOCK_WAIT_MILLISECONDS = 2000
"""Milliseconds for which a statement queues for a lock, since others queue behind it."""
PAUSE_SECONDS = 1.0
ATTEMPTS = 30
STATEMENT_SECONDS_MAX = 600.0
STEPS_MAX = 1000
NEW_TABLES_MAX = 50
"""Tables that a transaction creates: each takes a few places of the server's table of locks."""

ONE_AT_A_TIME = """
-- ends with the transaction, so it works behind a pooler too
select pg_advisory_xact_lock(hashtextextended('replicator migrate', 0))
"""


@dataclass(frozen=True, slots=True)
class Migrated:
    """Steps that were done, a line each, and findings that remain."""

    done: tuple[str, ...]
    findings: tuple[Finding, ...]
    refused: tuple[tuple[str, Finding], ...] = ()
    """Tables with a changed mapping that was not registered, and the reason: nothing of them was
    changed."""


async def migrate(
    settings: ConnectionSettings,
    schema: str,
    deployment: str,
    mappings: Sequence[TableMapping],
    *,
    runner: ConnectionSettings | None = None,
    forwards_only: bool = False,
) -> Migrated:
    """Do all that `plan` shows; a second call does nothing. `runner`: who runs, if it is another.

    `forwards_only`: MigrationDue for a mapping that is older than the registered one, as a process
    that migrates at the start must not take back what another one was updated to.
    A changed mapping that the targets do not fit is not registered, and nothing is changed for it:
    workers go on with the former one. Takes one step a transaction, and gives up a lock that does
    not come at once, so that nobody waits long behind it. ConfigurationError when a target is
    another's, a right is missing or the server is too old; SinkBusy when a lock never came;
    SinkUnavailable.
    """
    async with opened(settings) as connection:
        grantee = await grantee_of(connection, settings, runner)
        if forwards_only:
            async with reading(connection, "reading the catalog"):
                found = await survey(connection, schema, deployment, mappings, grantee=grantee)
            for error in found.outdated:
                raise error
        done: list[str] = []
        for _ in range(STEPS_MAX):
            step = await _patiently(connection, schema, deployment, mappings, grantee)
            if not step or step == done[-len(step) :]:  # nothing, or nothing that helped
                break
            done += step
        async with reading(connection, "reading the catalog"):
            left = await survey(connection, schema, deployment, mappings, grantee=grantee)
    return Migrated(tuple(done), left.findings, tuple(left.refused.items()))


async def look(
    settings: ConnectionSettings,
    schema: str,
    deployment: str,
    mappings: Sequence[TableMapping],
    *,
    runner: ConnectionSettings | None = None,
) -> Survey:
    """Survey the work of `migrate`; changes nothing. Errors as those of `migrate`."""
    async with opened(settings) as connection:
        grantee = await grantee_of(connection, settings, runner)
        async with reading(connection, "reading the catalog"):
            return await survey(connection, schema, deployment, mappings, grantee=grantee)


@asynccontextmanager
async def opened(settings: ConnectionSettings) -> AsyncIterator[asyncpg.Connection]:
    """A connection for a command; DDL may take longer than a batch."""
    longer = replace(
        settings,
        statement_timeout_seconds=max(settings.statement_timeout_seconds, STATEMENT_SECONDS_MAX),
    )
    connection = await connect(longer)
    try:
        yield connection
    finally:
        await _close(connection)


@asynccontextmanager
async def looking(doing: str) -> AsyncIterator[None]:
    """Translate what fails inside; a missing right is the configuration's fault here."""
    try:
        yield
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise _translated(error, doing) from error


@asynccontextmanager
async def reading(connection: asyncpg.Connection, doing: str) -> AsyncIterator[None]:
    """A transaction that changes nothing, with what the statements rely on also behind a pooler;
    `looking` at what fails inside.
    """
    async with (
        looking(doing),
        connection.transaction(isolation="read_committed", readonly=True),
    ):
        await connection.execute(f"{VALUES_WITHIN}; {THINKS_LONGER}")
        yield


async def grantee_of(
    connection: asyncpg.Connection,
    settings: ConnectionSettings,
    runner: ConnectionSettings | None,
) -> str | None:
    """The role that runs, where another role migrates; None otherwise."""
    if runner is None or address_of(runner).user == address_of(settings).user:
        return None
    user = address_of(runner).user
    async with reading(connection, "looking for the role"):
        if await connection.fetchval("select true from pg_roles where rolname = $1", user) is None:
            message = f"the role {user!r} of target.dsn does not exist"
            raise ConfigurationError(message, remedy="create it, or correct target.dsn")
    return user


async def _patiently(
    connection: asyncpg.Connection,
    schema: str,
    deployment: str,
    mappings: Sequence[TableMapping],
    grantee: str | None,
) -> list[str]:
    last: SinkBusy | None = None
    for _ in range(ATTEMPTS):
        try:
            async with looking("migrating"):
                return await _step(connection, schema, deployment, mappings, grantee)
        except SinkBusy as error:
            last = error
            await asyncio.sleep(PAUSE_SECONDS)
    raise SinkBusy(
        f"a lock was not to be had in {ATTEMPTS} attempts: {last}",
        remedy="see pg_stat_activity for who holds it, then run `replicator migrate` again: "
        "what was done stays done",
    ) from last


async def _step(
    connection: asyncpg.Connection,
    schema: str,
    deployment: str,
    mappings: Sequence[TableMapping],
    grantee: str | None,
) -> list[str]:
    """The next thing that is to be done, in a transaction of its own; [] when nothing is."""
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(
            f"{VALUES_WITHIN}; set local lock_timeout = {LOCK_WAIT_MILLISECONDS}; {THINKS_LONGER}"
        )
        await connection.execute(ONE_AT_A_TIME)
        found = await survey(connection, schema, deployment, mappings, grantee=grantee)
        require_fit_server(found.catalog)
        for conflict in found.conflicts:
            raise conflict
        for lacking in (
            *found.types,
            *found.creation,
        ):  # before anything is done, and in words that help
            raise ConfigurationError(f"{lacking.where}: {lacking.message}", remedy=lacking.remedy)
        if found.control_sql:
            await connection.execute(found.control_sql)
            return [f"control schema {schema}: {'upgraded' if found.revision else 'created'}"]
        if found.statements:
            mine = [statement.sql for statement in _at_once(found.statements)]
            await connection.execute(";\n".join(mine))
            return mine
        if found.grants:
            granted = [statement.sql for statement in found.grants]
            await connection.execute(";\n".join(granted))
            return granted
        fit = [mapping for mapping in mappings if mapping.spec.name not in found.refused]
        return await register(connection, schema, deployment, fit, held=found.held)


def _at_once(wanted: Sequence[Statement]) -> list[Statement]:
    """Statements of a transaction: many new tables, for which nobody waits, or one that exists."""
    new = [statement for statement in wanted if not statement.waited_for]
    tables = [statement.table for statement in new or wanted]
    chosen = {*[*dict.fromkeys(tables)][: NEW_TABLES_MAX if new else 1]}
    return [statement for statement in new or wanted if statement.table in chosen]


def _translated(error: Exception, doing: str) -> ReplicatorError:
    failure = translate(error, doing=doing)
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return ConfigurationError(
            f"a right is missing while {doing}: {str(error).splitlines()[0]}",
            remedy="grant it, or name a role that may do it in target.migrate_dsn",
        )
    if isinstance(failure, SchemaMismatch | SinkBusy | SinkUnavailable):
        return failure
    message = f"PostgreSQL refused a statement while {doing}: {str(error).splitlines()[0]}"
    return ConfigurationError(message, remedy="run `replicator check`")


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
