"""The control schema's revisions: found, compared, and written as SQL."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from replicator.errors import ConfigurationError
from replicator.postgres.connection.connect import ConnectionSettings, connect
from replicator.postgres.schema.control_revisions import (
    current_revision,
    head_revision,
    is_due,
    upgrade_sql,
)

HEAD = head_revision()
MINOR = int(HEAD.rpartition("_")[2])


def test_the_newest_revision_is_what_alembic_takes_for_it():
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[2] / "migrations"))
    config.set_main_option("path_separator", "os")

    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_the_sql_of_all_revisions_makes_the_newest(database: str):
    connection = await connect(ConnectionSettings(dsn=database))
    schema = 'odd "schema": 100%'
    await connection.execute('create schema "odd ""schema"": 100%"')
    assert await current_revision(connection, schema) is None

    await connection.execute(upgrade_sql(schema, None))

    assert await current_revision(connection, schema) == HEAD
    assert await current_revision(connection, "replicator") is None
    assert upgrade_sql(schema, HEAD) == ""
    await connection.close()


def test_a_schema_that_is_missing_or_older_is_due():
    assert is_due(None, HEAD)
    assert not is_due(HEAD, HEAD)


def test_a_schema_one_minor_version_newer_is_fine_and_a_newer_one_is_not():
    assert not is_due(f"9998_in_0_{MINOR + 1}", HEAD)

    with pytest.raises(ConfigurationError, match="control schema is of version") as failure:
        is_due(f"9999_in_0_{MINOR + 2}", HEAD)
    assert failure.value.remedy == "upgrade replicator"


def test_a_schema_of_somebody_else_is_left_alone():
    with pytest.raises(ConfigurationError, match="not one of ours"):
        is_due("ae1027a6acf", HEAD)
