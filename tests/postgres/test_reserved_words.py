"""Names that `init` proposes need no quotes in a query."""

import asyncpg

from replicator.core.proposal.reserved_words import RESERVED

SERVERS_RESERVED = "select array_agg(word) from pg_get_keywords() where catcode in ('R', 'T')"


async def test_every_word_that_the_server_reserves_is_known(database: str):
    connection = await asyncpg.connect(database)
    try:
        words = set(await connection.fetchval(SERVERS_RESERVED))
    finally:
        await connection.close()

    assert "user" in words
    assert words - RESERVED == set()
