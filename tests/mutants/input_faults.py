"""Faults in what is made of items, events, documents and names that somebody else has chosen."""

from tests.mutants.mutant import Mutant

EMPTY_MAPS = "tests/core/test_empty_maps.py"

INPUT_MUTANTS = [
    Mutant(
        "an empty map without its tag is not decoded as one",
        "replicator/core/values/attributes.py",
        "if may_lack_tags(text):",
        "if not text:",
        EMPTY_MAPS,
    ),
    Mutant(
        "images in which tags are missing are taken for usual ones",
        "replicator/core/values/columnar.py",
        "if may_lack_tags(_BETWEEN.join(raws)):",
        "if not raws:",
        EMPTY_MAPS,
    ),
    Mutant(
        "a way into an empty map without its tag does not end there",
        "replicator/core/mapping/paths.py",
        "return None if len(value) <= 1 and",
        "return None if len(value) == 1 and",
        EMPTY_MAPS,
    ),
    Mutant(
        "a member named M hides that its empty map has no tag",
        "replicator/core/values/attributes.py",
        " or _MAP_IN_MAP in text)",
        ")",
        "tests/core/test_attributes.py",
    ),
]
