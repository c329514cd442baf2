"""The roles of docs/operations/postgresql.md, made as they stand there: they suffice."""

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.schema.migrate import look, migrate
from tests.docs.blocks import ROOT, blocks
from tests.support.mappings import mapping

PAGE = ROOT / "docs/operations/postgresql.md"
SCHEMA = "replicator"
MAPPINGS = [mapping()]


def statements(heading: str) -> str:
    [text] = [b.text for b in blocks(PAGE) if (b.heading, b.info) == (heading, "sql")]
    return text


@pytest.fixture
async def roles(database: str) -> AsyncIterator[tuple[str, str]]:
    """Names of the owner and of the one who runs, which nobody else on the server has."""
    suffix = database.rpartition("_")[2]
    names = (f"replicator_owner_{suffix}", f"replicator_{suffix}")
    yield names
    connection = await asyncpg.connect(database)
    for name in names:
        await connection.execute(f"drop owned by {name}; drop role {name}")
    await connection.close()


async def obey(database: str, text: str, roles: tuple[str, str]) -> None:
    """Run what the page says, for these roles and this database."""
    owner, runner = roles
    name = database.rpartition("/")[2]
    for word, becomes in (("replicator_owner", owner), ("replicator", runner), ("app", name)):
        text = re.sub(rf"\b{word}\b", becomes, text)
    connection = await asyncpg.connect(database)
    await connection.execute(text)
    await connection.close()


def settings(database: str, role: str) -> ConnectionSettings:
    return ConnectionSettings(dsn=database.replace("postgres@", f"{role}@"))


async def test_the_roles_of_the_page_migrate_and_run(database: str, roles: tuple[str, str]):
    await obey(database, statements("Roles"), roles)
    await obey(database, statements("Poolers"), roles)
    owner, runner = (settings(database, role) for role in roles)

    before = await look(owner, SCHEMA, "test", MAPPINGS, runner=runner)
    await migrate(owner, SCHEMA, "test", MAPPINGS, runner=runner)
    after = await look(runner, SCHEMA, "test", MAPPINGS)

    assert before.creation == ()
    assert (after.due, after.findings, after.control_rights_lacking) == ([], (), False)


async def test_a_grant_of_the_page_that_was_forgotten_is_named(
    database: str, roles: tuple[str, str]
):
    kept = [
        line for line in statements("Roles").splitlines() if not re.match("grant .*create", line)
    ]
    await obey(database, "\n".join(kept), roles)
    owner, runner = (settings(database, role) for role in roles)

    found = await look(owner, SCHEMA, "test", MAPPINGS, runner=runner)

    name = database.rpartition("/")[2]
    grants = [
        f'grant usage, create on schema "public" to "{roles[0]}"',
        f'grant create on database "{name}" to "{roles[0]}"',
    ]
    if found.catalog.server_version < 150000:  # until then everybody may create in public
        del grants[0]
    assert [finding.remedy.partition(";")[0] for finding in found.creation] == grants
