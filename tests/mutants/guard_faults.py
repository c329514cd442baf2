"""Faults in what keeps the order where no shard vouches for it: row guard, snapshots, Lambda."""

from tests.mutants.mutant import Mutant

GUARD = "tests/postgres/test_row_guard.py"
SEGMENTS = "tests/postgres/test_segment_claims.py"
DELIVERIES = "tests/postgres/test_lambda_writer.py"
FUNCTION = "tests/lambda_mode/test_function.py"

ORDERS = "replicator/postgres/write/version_comparison_sql.py"
VERSIONS = "replicator/postgres/write/row_guard_sql.py"
PRUNING = "replicator/postgres/control/pruning.py"
MODES = "replicator/postgres/control/stream/ordering_mode_switch.py"
CLAIMS = "replicator/postgres/control/snapshot/segment_claims.py"
PAGES = "replicator/postgres/write/fence.py"
SNAPSHOTS = "replicator/postgres/control/snapshot/snapshots.py"
LAMBDA = "replicator/postgres/write/lambda_writer.py"

GUARD_MUTANTS = [
    # the newest change of each row
    Mutant(
        "an older change is written over a newer row",
        ORDERS,
        'return f"({one[0]}, {one[1]}) < (',
        'return f"({one[0]}, {one[1]}) <> (',
        GUARD,
    ),
    Mutant(
        "sequence numbers of two streams are compared",
        ORDERS,
        'return f"({one[0]}, {one[1]}) < ({other[0]}, {other[1]})"',
        'return f"({one[1]}, {one[0]}) < ({other[1]}, {other[0]})"',
        GUARD,
    ),
    Mutant(
        "rows are written whatever became of their versions",
        "replicator/postgres/write/plan_writer.py",
        "left = accepted(plan, rejections, other_orders_in(plan, guarded))",
        "left = accepted(plan, (), other_orders_in(plan, guarded))",
        GUARD,
    ),
    Mutant(
        "versions are pruned while a snapshot runs",
        PRUNING,
        " where t.snapshot_id is null\n",
        " where t.snapshot_id is not distinct from t.snapshot_id\n",
        GUARD,
    ),
    Mutant(
        "a switch of the mode stops nobody who writes",
        MODES,
        "    await raise_epochs(connection, control, deployment, source)\n",
        "    _ = raise_epochs\n",
        GUARD,
    ),
    # scans and sweeps
    Mutant(
        "a scan overwrites what the stream wrote since",
        VERSIONS,
        '"newer": """o.snapshot_id is distinct from excluded.snapshot_id\n',
        '"newer": """o.snapshot_id is not distinct from o.snapshot_id\n',
        GUARD,
    ),
    Mutant(
        "a scan takes the version of a row back",
        VERSIONS,
        '"set": """deleted = false, snapshot_id',
        '"set": """sequence_number = 0, generation = 0, deleted = false, snapshot_id',
        GUARD,
    ),
    Mutant(
        "an item that a scan could not convert is swept",
        VERSIONS,
        'seen_by = "null::bigint" if shape.guard == "stream" else names["snapshot_id"]',
        'seen_by = "null::bigint"',
        GUARD,
    ),
    Mutant(
        "a sweep takes what was written since it looked",
        VERSIONS,
        'distinct from excluded.snapshot_id",\n    },\n    # Whatever is newer has closed',
        'distinct from -1",\n    },\n    # Whatever is newer has closed',
        SEGMENTS,
    ),
    Mutant(
        "what another snapshot has seen is not stale",
        "replicator/postgres/read/find_stale_rows.py",
        "and o.snapshot_id = $2) as stale",
        "and $2::bigint is not null) as stale",
        SEGMENTS,
    ),
    Mutant(
        "a sweep begins before the scan is committed",
        CLAIMS,
        "and o.target is null and o.state <> 'done'",
        "and o.target is null and false",
        f"{SEGMENTS}::test_a_sweep_that_an_earlier_version_began_waits_for_the_whole_scan",
    ),
    Mutant(
        "a page that was read under an older claim is written",
        PAGES,
        "and (epoch, claim_id) = ($7, $14::uuid)\n       and steps = $8\n",
        "and $7 > 0 and $8 >= 0 and $14::uuid is not null\n",
        SEGMENTS,
    ),
    Mutant(
        "a snapshot ends before its last part",
        SNAPSHOTS,
        "if await connection.fetchval(self._control.sql(INCOMPLETE), snapshot.id):",
        "if False:",
        SEGMENTS,
    ),
    Mutant(
        "pages of a snapshot that is over are written",
        SNAPSHOTS,
        "        await connection.execute(self._control.sql(FENCE_SEGMENTS_OFF), snapshot_id)\n",
        "",
        SEGMENTS,
    ),
    # what Lambda may write
    Mutant(
        "Lambda writes a table that is the daemon's again",
        LAMBDA,
        "       and mode = 'lambda'\n",
        "",
        DELIVERIES,
    ),
    Mutant(
        "Lambda writes a table with an older mapping",
        LAMBDA,
        "and mapping_fingerprint = $5\n",
        "and $5::text is not null\n",
        DELIVERIES,
    ),
    Mutant(
        "Lambda writes beside a snapshot that it does not know",
        LAMBDA,
        "and snapshot_id is not distinct from $6::bigint{unless}\n",
        "and $6::bigint is not distinct from $6{unless}\n",
        DELIVERIES,
    ),
    Mutant(
        "a switch does not wait for Lambda",
        LAMBDA,
        "is not distinct from $6::bigint{unless}\n       for share)",
        "is not distinct from $6::bigint{unless})",
        DELIVERIES,
    ),
    Mutant(
        "the first record that failed counts as done",
        "replicator/app/aws_lambda/apply_batches.py",
        "return batch.identifiers[done:]",
        "return batch.identifiers[done + 1 :]",
        FUNCTION,
    ),
]
