"""Texts that travel as one: PostgreSQL takes them apart as they were."""

import asyncpg
import pytest

from replicator.postgres.write.statement_parameters import NULL, SEPARATOR, Parameters, join_texts
from tests.support.random_items import STRINGS

SPLIT = Parameters(joined=True).arrays(("text",))


@pytest.mark.parametrize(
    "texts",
    [
        ["a"],
        [None],
        [None, None],
        ["", ""],
        ["", None, ""],
        ["a", "", "b", None],
        [text for text in STRINGS if SEPARATOR not in text],
    ],
    ids=str,
)
async def test_texts_are_taken_apart_as_they_were(database, texts):
    joined = join_texts([texts], ["text"])

    assert joined is not None
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval(f"select {SPLIT}", *joined) == texts
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "texts", [[""], [f"a{SEPARATOR}b", "c"], [NULL, "a"], [f"a{NULL}", None], [SEPARATOR]]
)
def test_what_could_not_be_taken_apart_is_not_joined(texts):
    assert join_texts([["a", "b"], texts], ["text", "text"]) is None


def test_other_arrays_stay_arrays():
    assert join_texts([["a", "b"], [b"x", None], [1.5]], ["text", "bytea", "float8"]) == [
        f"a{SEPARATOR}b",
        [b"x", None],
        [1.5],
    ]
