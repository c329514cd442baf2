"""Words about a session that has a lock never hold a value of its statement."""

import pytest

from replicator.postgres.connection.table_lock_waits import first_words


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("begin; lock table public.orders in access", "begin; lock table public.orders in access"),
        ("update orders set name = 'anna'", "update orders set name"),
        ("select f(4711)", "select f"),
        ("delete from t where id in (4711)", "delete from t where id in"),
        ("vacuum full", "vacuum full"),
        ("set name to anna", "set name"),
        ("a b c d e f g h i j", "a b c d e f g h"),
        ("4711", ""),
        ("", ""),
    ],
)
def test_the_first_words_end_where_a_value_may_begin(statement: str, words: str):
    assert first_words(statement) == words
