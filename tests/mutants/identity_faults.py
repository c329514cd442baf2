"""Faults in what decides which table, which key and which mapping is written."""

from tests.mutants.mutant import Mutant

FINGERPRINTS = "tests/core/test_fingerprint.py"
MIGRATING = "tests/postgres/test_migrate.py"

FINGERPRINT = "replicator/core/mapping/fingerprint.py"
REGISTRY = "replicator/postgres/schema/registry.py"

IDENTITY_MUTANTS = [
    Mutant(
        "a field of a column is left out of the fingerprint",
        FINGERPRINT,
        "more = _said(spec, but=_FACTS_OF_A_COLUMN)",
        'more = _said(spec, but=(*_FACTS_OF_A_COLUMN, "other_types"))',
        FINGERPRINTS,
    ),
    Mutant(
        "a history is left out of the fingerprint",
        FINGERPRINT,
        "return _digest([rows, policies, own] if policies or own else rows)",
        "return _digest([rows, own] if own else rows)",
        FINGERPRINTS,
    ),
    Mutant(
        "a number and the string that looks like it have one fingerprint",
        FINGERPRINT,
        'return {"decimal": str(value)}',
        "return str(value)",
        FINGERPRINTS,
    ),
    Mutant(
        "a history that is added loads a table anew",
        FINGERPRINT,
        "more = _said(spec, but={*_FACTS_OF_A_TARGET, *POLICIES})",
        "more = _said(spec, but=_FACTS_OF_A_TARGET)",
        FINGERPRINTS,
    ),
    Mutant(
        "an upgrade loads tables anew",
        REGISTRY,
        "return self.fingerprint in {target.fingerprint, target.former_fingerprint}",
        "return self.fingerprint == target.fingerprint",
        MIGRATING,
    ),
]
