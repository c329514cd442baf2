"""What a sweep deletes: the keys that it was given, of one target, as `on_delete` says."""

from replicator.core.planning.scan_plan import plan_sweep
from tests.support.builders import NOON, table_mapping, target


def test_a_sweep_deletes_rows_of_its_own_target_alone():
    mapping = table_mapping(target("public.t"), target("public.u"), target("public.v"))

    plan = plan_sweep(mapping, "public.u", [("ghost",)], at=NOON)

    assert [writes.deletes for writes in plan.writes] == [[], [("ghost",)], []]


def test_a_soft_sweep_marks_and_deletes_nothing():
    mapping = table_mapping(target("public.t"), target("public.u", on_delete="soft"))

    plan = plan_sweep(mapping, "public.u", [("ghost",)], at=NOON)

    assert [writes.deletes for writes in plan.writes] == [[], []]
    assert plan.writes[1].soft_deletes == [("ghost", NOON.isoformat())]
