"""How many records are left to be planned one by one: none of those that convert, in any mapping.

A count, which no machine changes. What planning costs is `make bench ARGS=cliffs`.
"""

from pathlib import Path

import pytest

from replicator.core.planning.batch_ledger import Ledger
from replicator.core.planning.fast_path import plan_usual
from tests.benchmarks.cliffs import CLIFFS, pages_of
from tests.benchmarks.features import compiled
from tests.benchmarks.stages import READ_AT, SOURCE_KEY

RECORDS = 300


@pytest.mark.parametrize("name", CLIFFS)
def test_what_converts_is_planned_together(name: str, tmp_path: Path):
    cliff = CLIFFS[name]
    mapping = compiled(tmp_path, cliff.feature)
    [records] = pages_of(cliff.change, RECORDS)

    planned, left = 0, 0
    for target in mapping.targets:
        ledger = Ledger(records, mapping.source_key, read_at=READ_AT, protection=mapping.protection)
        changes = plan_usual(target, ledger, scanned=False)
        planned += len(changes.upserted.rows)
        newest = [records[ledger.newest[key]] for key in changes.left]
        left += sum(
            record.event != "remove"
            and not (target.routes_on_keys_only and not target.matches(record.keys, None))
            for record in newest
        )

    assert mapping.source_key == SOURCE_KEY
    assert planned > RECORDS / 3
    assert left == 0
