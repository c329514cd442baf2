"""Every alert and every error has its section in the runbook."""

import inspect

import pytest

from replicator import errors
from replicator.errors import ReplicatorError
from tests.docs.blocks import ROOT
from tests.support.prometheus import rules

RUNBOOK = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
ERRORS = [
    name
    for name, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, ReplicatorError) and error is not ReplicatorError
]
ALERTS = [rule["alert"] for rule in rules("alerts.yml")]


@pytest.mark.parametrize("name", [*ERRORS, *ALERTS])
def test_a_section_says_what_to_see_what_it_means_and_what_to_do(name: str):
    _, found, after = RUNBOOK.partition(f"\n### {name}\n")
    section = after.partition("\n#")[0]

    assert found, f"docs/runbook.md has no section {name}"
    assert all(word in section for word in ("**See:**", "**Means:**", "**Do:**"))


def test_there_are_errors_and_alerts():
    assert len(ERRORS) > 15
    assert len(ALERTS) > 10
