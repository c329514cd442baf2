"""How many records are left to be planned one by one: none of those that convert, in any mapping.

A count, which no machine changes. What planning costs is `make bench ARGS=cliffs`.
"""

from pathlib import Path

import pytest

from replicator.core.planning.batch_in_planning import BatchInPlanning
from replicator.core.planning.columnar_plan import plan_usual
from replicator.core.planning.write_plan import TargetWrites
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
        writes = TargetWrites(target)
        state = BatchInPlanning(records, mapping, read_at=READ_AT)
        changes = plan_usual(writes, state, scanned=False)
        planned += len(writes.upserted)
        newest = [records[state.newest[key]] for key in changes.left]
        condition = target.condition
        left += sum(
            record.event != "remove"
            and not (condition.on_keys_only and not condition.matches(record.keys, None))
            for record in newest
        )

    assert mapping.source_key == SOURCE_KEY
    assert planned > RECORDS / 3
    assert left == 0
