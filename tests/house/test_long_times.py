"""Times of the product beside the bounds of waits: a long one says here how tests pass it.

A wait has bounds.USUAL_SECONDS, and no factor of a machine lengthens what the product itself lets
pass before it acts. What is short beside that needs no thought. Whoever gives the product a time
that is not decides here how tests wait for it: with `after=`, or not at all.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support import bounds

PACKAGE = Path(__file__).parents[2] / "replicator"
SHORT_PART = 4
"""A time that fits so often into the usual bound leaves enough of it for the machine."""
LEAST = round(bounds.USUAL_SECONDS / bounds.SLOWNESS, 3) / SHORT_PART
"""Seconds; whatever digits the factor of the machine has."""
AFTER = "waited for with after=, see NAMED_SECONDS of tests/faults/replica.py"
AGED = "tests make the rows older that it is told from"
VIRTUAL = "tests turn a clock, do what would be due, or give a length of their own"
BOUND = "the end of a wait of the product, which its tests meet with one of their own or not at all"
OTHER = "no time that passes"
LONG = {
    "app/aws_lambda/execution_environment.py": {"PRUNE_SECONDS": VIRTUAL},
    "app/aws_lambda/redrive_failed_batches.py": {"DELIVERY_SECONDS": BOUND},
    "app/daemon/worker_monitoring.py": {"WATCHED_SECONDS_MAX": BOUND},
    "cli/terminal/durations_and_times.py": {"SECONDS_MAX": OTHER},
    "core/stream/decoding/dynamodb_records.py": {"_SECONDS_MAX": OTHER},
    "core/snapshot/read_budget.py": {"RECOVERY_SECONDS": VIRTUAL},
    "core/status/deployment_problems.py": {
        "HEADROOM_SECONDS_MIN": AGED,
        "HEADROOM_SECONDS_CRITICAL": AGED,
        "VERIFIED_SECONDS_MAX": AGED,
    },
    "core/status/table_verdict.py": {
        "WORKER_SECONDS": AFTER,
        "LOOK_SECONDS": AFTER,
        "UNOWNED_SECONDS": AFTER,
        "END_SECONDS": AFTER,
        "SEGMENT_SECONDS": AFTER,
        "LAG_SECONDS": AFTER,
    },
    "core/leases/lease_owners.py": {"OLDER_SECONDS": VIRTUAL},
    "core/stream/listing_interval.py": {"LISTING_SECONDS": AFTER},
    "core/stream/shard_load.py": {"AVERAGED_SECONDS": VIRTUAL},
    "demo/story.py": {"READY_SECONDS": BOUND, "APPLY_SECONDS": BOUND},
    "demo/embedded_servers.py": {"START_SECONDS": BOUND},
    "engine/snapshot/snapshot_lifecycle.py": {"REPAIR_SECONDS_MAX": VIRTUAL},
    "engine/stream/shard_discovery.py": {"UNWATCHED_SECONDS_MAX": VIRTUAL},
    "engine/stream/shard_reader.py": {"ITERATOR_SECONDS_MAX": VIRTUAL},
    "engine/verify/confirm_differences.py": {"STREAM_SECONDS_MAX": BOUND},
    "engine/worker/worker_report_collector.py": {"FAILURE_SECONDS_MAX": VIRTUAL},
    "engine/worker/lease_owner_lookup.py": {"SWEEP_SECONDS": VIRTUAL},
    "engine/worker/worker.py": {"STUCK_SECONDS": VIRTUAL, "SILENT_LISTING_SECONDS_MAX": VIRTUAL},
    "postgres/control/forget_table.py": {"LIVING_SECONDS": AGED},
    "postgres/control/notice_deliveries.py": {"AGAIN_SECONDS_MAX": AGED},
    "postgres/control/pruning.py": {"PRUNE_SECONDS": VIRTUAL},
    "postgres/control/status_reads.py": {"LIVING_SECONDS": AGED},
    "postgres/control/stream/table_and_shard_store.py": {"ENDED_SECONDS": AGED},
    "postgres/schema/migrate.py": {"STATEMENT_SECONDS_MAX": BOUND},
    "selftest/scratch_tables.py": {"ACTIVE_SECONDS_MAX": BOUND, "READ_SECONDS_MAX": BOUND},
    "selftest/selftest_run.py": {"APPLIED_SECONDS_MAX": BOUND},
    "aws/signed_calls_without_sdk.py": {"TOKEN_SECONDS": OTHER},
}
"""Constants of modules by file and name."""


def long_times(source: str) -> Iterator[str]:
    """Names of a module's constants that are as many seconds, or more."""
    for node in ast.parse(source).body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if "SECONDS" in name.split("_"):
                if _number(value) >= LEAST:
                    yield name


def _number(value: ast.expr) -> float:
    """A number, or a product of some; 0 for what is told elsewhere."""
    match value:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _number(left) * _number(right)
    return 0.0


def test_every_time_that_is_long_beside_the_usual_bound_says_how_tests_pass_it():
    found = {
        str(path.relative_to(PACKAGE)): names
        for path in sorted(PACKAGE.rglob("*.py"))
        if (names := {*long_times(path.read_text("utf-8"))})
    }

    expected = {file: {*names} for file, names in LONG.items()}
    assert found == expected, "say in LONG how tests come by it, or leave out what is gone"


def test_a_long_time_is_found():
    assert [*long_times("LOOK_SECONDS = 2 * 60.0\nSECONDS_MAX: float = 600\n")] == [
        "LOOK_SECONDS",
        "SECONDS_MAX",
    ]
    assert [*long_times("LOOK_SECONDS = 30.0\nITEMS_MAX = 600\nMILLISECONDS = 2000\n")] == []
