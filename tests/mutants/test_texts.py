"""A mutant that cannot be put in, or names no test, tells nothing; here it is seen at once."""

from functools import cache

from tests.mutants.faults import MUTANTS
from tests.mutants.mutant import Mutant
from tests.support.warm_start import ROOT


@cache
def text_of(file: str) -> str:
    return (ROOT / file).read_text()


def is_in_place(mutant: Mutant) -> bool:
    file, _, test = mutant.noticed_by.partition("::")
    return text_of(mutant.file).count(mutant.text) == 1 and f"def {test}" in text_of(file)


def test_its_text_stands_once_in_its_file_and_its_test_exists():
    assert [mutant.name for mutant in MUTANTS if not is_in_place(mutant)] == []


def test_no_two_mutants_have_one_name():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
