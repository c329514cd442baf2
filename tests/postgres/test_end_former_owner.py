"""A claim that a frozen session holds up: it is ended, though the pool has one connection alone."""

import asyncpg

from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.shard_claims import Claims
from tests.postgres.loaded import SHARD, registered
from tests.support.builders import STREAM, table_mapping


async def test_a_pool_of_one_ends_the_frozen_session_of_the_recorded_owner(migrated_database: str):
    """No timer of the server runs for that session, and it is never asked."""
    table = await registered(migrated_database, table_mapping())
    settings = table.database.settings
    small = Database(settings, deployment="test", control_schema="replicator", pool_size=1)
    place, fingerprint = (table.name, STREAM, SHARD), table.mapping.fingerprint
    name = table.database.session_name("frozen")
    frozen = await asyncpg.connect(migrated_database, server_settings={"application_name": name})
    try:
        before = await Claims(table.database, "frozen").claim(
            *place, mapping_fingerprint=fingerprint
        )
        await frozen.execute("begin; select from replicator.shard for update")

        claim = await Claims(small, "heir").claim(*place, mapping_fingerprint=fingerprint)

        assert claim.epoch > before.epoch
        assert await table.sql("select owner from replicator.shard") == [("heir",)]
    finally:
        frozen.terminate()
        await small.close()
        await table.database.close()
