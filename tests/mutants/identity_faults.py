"""Faults in what decides which table, which key and which mapping is written."""

from tests.mutants.mutant import Mutant

FINGERPRINTS = "tests/core/test_fingerprint.py"
LOST_CLAIMS = "tests/postgres/test_lost_claims.py"
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
    Mutant(
        "claims of a shard are told apart by their epochs alone",
        "replicator/postgres/write/fence.py",
        "and claim_id = $11::uuid\n",
        "and $11::uuid is not null\n",
        LOST_CLAIMS,
    ),
    Mutant(
        "claims of a snapshot's parts are told apart by their epochs alone",
        "replicator/postgres/write/sink.py",
        "and (epoch, claim_id) = ($7, $14::uuid)\n",
        "and epoch = $7 and $14::uuid is not null\n",
        LOST_CLAIMS,
    ),
]
