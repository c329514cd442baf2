"""A mutant that cannot be put in, or names no test, tells nothing; here it is seen at once."""

import pytest

from tests.mutants.faults import MUTANTS
from tests.mutants.mutant import Mutant
from tests.support.warm_start import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_text_stands_once_in_its_file_and_its_test_exists(mutant: Mutant):
    file, _, test = mutant.noticed_by.partition("::")

    assert (ROOT / mutant.file).read_text().count(mutant.text) == 1
    assert f"def {test}" in (ROOT / file).read_text()


def test_no_two_mutants_have_one_name():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
