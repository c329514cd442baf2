"""People read words that they can search for."""

from tests.house.ways import PACKAGE
from tests.house.words import UNSEARCHABLE, Text, pages, strings


def test_texts_use_words_that_can_be_searched_for():
    found = [words for text in (*strings(), *pages()) for words in text.found()]

    assert found == [], f"say instead: {UNSEARCHABLE}"


def test_a_word_that_nobody_can_search_for_is_found():
    text = Text(PACKAGE / "errors.py", 7, "it was set aside; a person mends it, test_x_is_swept")

    assert text.found() == ["replicator/errors.py:7 set aside", "replicator/errors.py:7 mends"]
