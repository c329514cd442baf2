"""Every error that calls a person has its section in the runbook."""

import inspect

import pytest

from replicator import errors
from replicator.errors import Disposition, ReplicatorError
from tests.docs.blocks import ROOT

RUNBOOK = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
CALLS_A_PERSON = (Disposition.HALT, Disposition.GAP, Disposition.REFUSE)
CLASSES = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, ReplicatorError) and error.disposition in CALLS_A_PERSON
]


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_an_error_that_calls_a_person_says_what_to_see_what_it_means_and_what_to_do(error):
    _, found, after = RUNBOOK.partition(f"\n### {error.__name__}\n")
    section = after.partition("\n#")[0]

    assert found, f"docs/runbook.md has no section {error.__name__}"
    assert all(word in section for word in ("**See:**", "**Means:**", "**Do:**"))


def test_there_are_such_errors():
    assert len(CLASSES) > 8
