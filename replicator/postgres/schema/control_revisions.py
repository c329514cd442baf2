"""Revisions of the control schema: the installed one, the newest one, the SQL between them."""

import io
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from replicator.errors import ConfigurationError, MigrationDue
from replicator.postgres.connection.database import Database
from replicator.postgres.connection.sql_quoting import quote_identifier, quote_table

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "alembic_version"
_PACKAGE = Path(__file__).parents[2]
_IN_WHEEL = _PACKAGE / "_migrations"
_IN_CHECKOUT = _PACKAGE.parent / "migrations"
_NAMED = re.compile(r'^revision = "([^"]+)"$', re.MULTILINE)
_REVISION = re.compile(r"\d{4}_in_(\d+)_(\d+)")
"""A revision's name tells the minor version that brought it: `0001_in_0_1`."""


async def current_revision(connection: asyncpg.Connection, schema: str) -> str | None:
    """The revision of the control schema; None when it does not exist, or is empty."""
    found = await connection.fetchval(
        "select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = $1 and c.relname = $2",
        schema,
        VERSION_TABLE,
    )
    if found is None:
        return None
    revision: str | None = await connection.fetchval(
        f"select version_num from {quote_table(schema, VERSION_TABLE)}"  # noqa: S608 (quoted)
    )
    return revision


def head_revision() -> str:
    """The revision that the code needs."""
    return _revisions()[-1]


def is_due(current: str | None, head: str) -> bool:
    """True when the control schema is older than the code; ConfigurationError when it is too new.

    One minor version newer is fine: a revision only adds what an older worker does not need.
    """
    if current is None:
        return True
    if current == head:
        return False
    there, here = _minor_version(current), _minor_version(head)
    if current in _revisions():
        return True
    if there > (here[0], here[1] + 1):
        message = (
            f"the control schema is of version {there[0]}.{there[1]}, "
            f"this is replicator {here[0]}.{here[1]}"
        )
        raise ConfigurationError(message, remedy="upgrade replicator")
    return False


def upgrade_sql(schema: str, current: str | None) -> str:
    """All statements from the current revision (None: nothing) to the newest; "" if there."""
    if not is_due(current, head_revision()):
        return ""
    from alembic import command  # noqa: PLC0415 (a second that only a migration is worth)

    config = _config(schema)
    config.output_buffer = io.StringIO()
    command.upgrade(config, f"{current or 'base'}:head", sql=True)
    return str(config.output_buffer.getvalue()).strip()


def execute_file(revision_file: str) -> None:
    """Run the SQL that lies beside a revision, `{schema}` being the control schema's quoted name.

    For revisions only: inside of Alembic's context.
    """
    from alembic import op  # noqa: PLC0415 (loaded by whoever runs a revision)
    from sqlalchemy import text  # noqa: PLC0415

    sql = Path(revision_file).with_suffix(".sql").read_text(encoding="utf-8")
    schema = op.get_context().opts["version_table_schema"]
    # a colon would mark a parameter
    op.execute(
        text(
            sql.strip()
            .rstrip(";")
            .replace("{schema}", quote_identifier(schema))
            .replace(":", r"\:")
        )
    )


def _directory() -> Path:
    return _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT


def _config(schema: str) -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"control_schema": schema})
    config.set_main_option("script_location", str(_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@cache
def _revisions() -> tuple[str, ...]:
    """All revisions, oldest first: the files are numbered, and each names its own."""
    files = sorted((_directory() / "versions").glob("[0-9]*.py"))
    found = [_NAMED.search(file.read_text(encoding="utf-8")) for file in files]
    names = tuple(match[1] for match in found if match is not None)
    if not names:
        message = f"no revisions of the control schema in {_directory()}"
        raise ConfigurationError(message, remedy="install replicator again")
    return names


def _minor_version(revision: str) -> tuple[int, int]:
    match = _REVISION.fullmatch(revision)
    if match is None:
        message = f"the control schema has the revision {revision!r}, which is not one of ours"
        raise ConfigurationError(message, remedy="use another control_schema")
    return int(match[1]), int(match[2])


FOUND = """
-- asked of the catalog, which everybody may read
select has_schema_privilege(n.oid, 'USAGE') as usable, current_user as role
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1 and c.relname = 'table_state'
"""


async def require_control_schema(database: Database) -> None:
    """MigrationDue without a control schema, ConfigurationError when the role may not use it."""
    async with database.connection("looking for the control schema") as connection:
        found = await connection.fetchrow(FOUND, database.control_schema)
    if found is None:
        message = f"this database has no control schema {database.control_schema!r} yet"
        raise MigrationDue(message, remedy="run `replicator migrate`")
    if not found["usable"]:
        message = f"the role {found['role']!r} may not use the schema {database.control_schema!r}"
        raise ConfigurationError(message, remedy="grant it, or connect with the role that runs")
