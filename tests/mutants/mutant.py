"""A fault that a developer could put into the product, with the tests that must notice it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One text of one file replaced; `noticed_by` are tests of which at least one must fail."""

    name: str
    file: str
    text: str
    instead: str
    noticed_by: str
