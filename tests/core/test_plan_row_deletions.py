"""What a sweep deletes: the keys that it was given, of one target, as `on_delete` says."""

import pytest

from replicator.core.planning.plan_row_deletions import plan_sweep
from replicator.core.snapshot.snapshot_state import is_suspicious
from replicator.core.snapshot.stale_row_sample import Sample
from tests.support.builders import NOON, table_mapping, target


def test_a_sweep_deletes_rows_of_its_own_target_alone():
    mapping = table_mapping(target("public.t"), target("public.u"), target("public.v"))

    plan = plan_sweep(mapping, "public.u", [("ghost",)], at=NOON)

    assert [writes.deleted.rows for writes in plan.writes] == [[], [("ghost",)], []]


def test_a_soft_sweep_marks_and_deletes_nothing():
    mapping = table_mapping(target("public.t"), target("public.u", on_delete="soft"))

    plan = plan_sweep(mapping, "public.u", [("ghost",)], at=NOON)

    assert [writes.deleted.rows for writes in plan.writes] == [[], []]
    assert plan.writes[1].softly_deleted.rows == [("ghost", NOON.isoformat())]


@pytest.mark.parametrize(
    ("stale", "rows", "suspicious"),
    [
        *((0, 0, False), (0, 9, False), (1, 1, True), (30, 30, True), (30, 31, False)),
        *((100, 150, False), (101, 150, True), (101, 202, False), (1000, 3000, False)),
        *(
            (1001, 3000, True),
            (1001, 5000, False),
            (10_001, 90_000, True),
            (10_001, 200_000, False),
        ),
    ],
)
def test_a_sweep_is_suspicious_by_number_and_by_share(stale: int, rows: int, suspicious: bool):
    assert is_suspicious(rows=rows, stale=stale) is suspicious


def test_a_sample_is_even_and_bounded_however_long_it_goes_on():
    sample = Sample[int](10)
    for start in range(0, 1000, 7):
        sample.add(range(start, min(start + 7, 1000)))

    steps = {b - a for a, b in zip(sample.members, sample.members[1:], strict=False)}
    assert (5 <= len(sample.members) <= 10, len(steps), sample.members[0]) == (True, 1, 0)
