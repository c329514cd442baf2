"""Faults in what is called well: each link of the chain left out, and evidence that is believed."""

from tests.mutants.mutant import Mutant

DIAGNOSED = "tests/core/test_deployment_problems.py"
LOCKED = "tests/faults/test_locked_targets.py"
OVERVIEW = "tests/core/test_assemble_status.py"

OF_FEW = "tests/postgres/test_status_shards.py"

STATUS_SHARDS = "replicator/postgres/control/status_shards.py"
DIAGNOSIS = "replicator/core/status/table_verdict.py"
PROOF = "replicator/core/status/table_progress.py"
LINKS = "(_registered, _not_stopped, _read_by_workers, _worked_on, _moving)"

PROOF_MUTANTS = [
    Mutant(
        "shards of an accepted gap keep a stream from being over",
        STATUS_SHARDS,
        "and not (s.state = 'gap'",
        "and not (false",
        OF_FEW,
    ),
    Mutant(
        "a shard whose child has ended may have more children",
        STATUS_SHARDS,
        "        if is_followed:\n",
        "        if False:\n",
        OF_FEW,
    ),
    Mutant(
        "a shard whose second parent ended late stands since it was found",
        STATUS_SHARDS,
        "unnest(array[s.parent_id, s.adjacent_parent_id])",
        "unnest(array[s.parent_id])",
        OF_FEW,
    ),
    Mutant(
        "a merge is no child of its second parent",
        STATUS_SHARDS,
        "(s.deployment, s.stream_arn, s.adjacent_parent_id)",
        "(s.deployment, s.stream_arn, s.parent_id)",
        OF_FEW,
    ),
    Mutant(
        "all that ended is read for a status",
        STATUS_SHARDS,
        "s.done_at > t.instant",
        "t.instant is not null",
        OF_FEW,
    ),
    *(
        Mutant(
            f"the links of {link} are not asked for",
            DIAGNOSIS,
            LINKS,
            LINKS.replace(f"{link}, ", "").replace(f", {link}", ""),
            DIAGNOSED,
        )
        for link in ("_registered", "_not_stopped", "_read_by_workers", "_worked_on", "_moving")
    ),
    *(
        Mutant(
            f"no bound for {bound}", DIAGNOSIS, f"{bound} = {value}", f"{bound} = 1e9", DIAGNOSED
        )
        for bound, value in (
            ("WORKER_SECONDS", "60.0"),
            ("LOOK_SECONDS", "60.0"),
            ("LOOK_FAILED_SECONDS", "20.0"),
            ("UNOWNED_SECONDS", "60.0"),
            ("COMMIT_SECONDS", "10.0"),
            ("REFUSED_SECONDS", "3.0"),
            ("END_SECONDS", "90.0"),
            ("END_UNLISTED_SECONDS", "20.0"),
            ("LAG_SECONDS", "60.0"),
            ("STATUS_SECONDS", "30.0"),
        )
    ),
    Mutant(
        "no bound for LISTING_SECONDS",
        "replicator/core/stream/listing_interval.py",
        "LISTING_SECONDS = 120.0",
        "LISTING_SECONDS = 1e9",
        DIAGNOSED,
    ),
    Mutant(
        "a worker that cannot write its row counts as none",
        DIAGNOSIS,
        "    if polled is None or polled > WORKER_SECONDS:\n",
        "    if polled is None or polled > 0:\n",
        DIAGNOSED,
    ),
    Mutant(
        "what only was not told lately is laid to the source or the target",
        DIAGNOSIS,
        "word > TOLD_SECONDS and seconds - word <= bound",
        "word > 1e9 and seconds - word <= bound",
        DIAGNOSED,
    ),
    Mutant(
        "old facts are told while the newer ones cannot be read",
        DIAGNOSIS,
        "if status.read_failure is not None or status",
        "if status",
        DIAGNOSED,
    ),
    Mutant(
        "a failure that is over is told as a reason",
        PROOF,
        " if seconds is None or each.seconds < seconds]",
        "]",
        OVERVIEW,
    ),
    Mutant(
        "the row of a shard is taken for newer than the word of the worker that wrote it",
        PROOF,
        "noted_within += told.seconds",
        "noted_within += 0.0",
        OVERVIEW,
    ),
    Mutant(
        "a worker with another mapping vouches for a table",
        PROOF,
        "            and table.fingerprint == facts.mapping_fingerprint\n",
        "",
        OVERVIEW,
    ),
    Mutant(
        "a shard that its owner calls late is at its head",
        PROOF,
        "            late is None\n            and self._vouched",
        "            self._vouched",
        OVERVIEW,
    ),
    Mutant(
        "a head needs nobody who vouches for it",
        PROOF,
        "            and self._vouched(shard.owner)\n",
        "",
        OVERVIEW,
    ),
    Mutant(
        "a stream of which every shard has ended is read to its end",
        PROOF,
        "        if current and all(shard.finished for shard in current):\n",
        "        if not current:\n",
        OVERVIEW,
    ),
    Mutant(
        "an owner that has forgotten a shard is believed",
        PROOF,
        "if by_owner is None or by_row > noted_within:",
        "if by_owner is None:",
        OVERVIEW,
    ),
    Mutant(
        "whoever waits for a lock waits in the pool",
        "replicator/postgres/connection/table_lock_waits.py",
        "            if blocked is None:\n",
        "            if blocked is None or blocked:\n",
        f"{LOCKED}::test_eight_locked_tables_of_nine_keep_no_connection_from_the_ninth",
    ),
    Mutant(
        "nobody looks for whom a transaction waits",
        "replicator/postgres/connection/table_lock_waits.py",
        '    if database.settings.pooler != "none":\n',
        "    if patience_seconds:\n",
        f"{LOCKED}::test_a_locked_target_is_named_with_the_session_that_has_the_lock",
    ),
    Mutant(
        "a shard that fails again and again does not say why",
        "replicator/engine/worker/worker_report_collector.py",
        'why = said or failures.get(f"shard {shard_id}")',
        "why = said",
        "tests/engine/test_broken_ports.py"
        "::test_a_shard_that_fails_again_and_again_within_is_named_with_its_failure",
    ),
    Mutant(
        "the log repeats that a table is not well",
        "replicator/monitoring/health_log.py",
        "if trouble.problem is None and now - trouble.since >= SAID_AFTER_SECONDS:",
        "if now - trouble.since >= SAID_AFTER_SECONDS:",
        "tests/monitoring/test_health_log.py",
    ),
    Mutant(
        "a frozen owner is ended by a connection of the pool alone",
        "replicator/postgres/connection/end_former_owner.py",
        'self._database.helper("ending a blocker")',
        'self._database.connection("ending a blocker")',
        "tests/postgres/test_end_former_owner.py",
    ),
    Mutant(
        "nobody ends a session that stopped in the middle of a statement",
        "replicator/postgres/connection/database.py",
        "except (TargetLocked, BatchTooSlow):",
        "except ZeroDivisionError:",
        "tests/postgres/test_end_frozen_sessions.py"
        "::test_whoever_waits_in_vain_ends_a_session_that_stopped_inside_a_statement",
    ),
    Mutant(
        "sessions of others are ended when they stop in the middle of a statement",
        "replicator/postgres/connection/end_frozen_sessions.py",
        "where (a.application_name = $1 or starts_with(a.application_name, $1 || ' '))",
        "where $1::text is not null",
        "tests/postgres/test_end_frozen_sessions.py"
        "::test_a_session_of_somebody_else_and_one_that_works_are_not_ended",
    ),
    Mutant(
        "sessions that work for long are ended",
        "replicator/postgres/connection/end_frozen_sessions.py",
        "and (a.wait_event = 'ClientRead'",
        "and (true",
        "tests/postgres/test_end_frozen_sessions.py"
        "::test_a_session_of_somebody_else_and_one_that_works_are_not_ended",
    ),
    Mutant(
        "no timer runs for a transaction behind a pooler whose process left it",
        "replicator/postgres/connection/database.py",
        "limits += transaction_limit(connection, seconds, within_one=True)",
        "pass",
        "tests/postgres/test_end_frozen_sessions.py",
    ),
    Mutant(
        "a limit on transactions that a role has is lifted",
        "replicator/postgres/connection/transaction_limit.py",
        " current_setting('transaction_timeout')::interval not between '1 ms' and ",
        " '0'::interval not between '1 ms' and ",
        "tests/postgres/test_end_frozen_sessions.py",
    ),
    Mutant(
        "a session whose answer nobody reads keeps its locks",
        "replicator/postgres/connection/end_frozen_sessions.py",
        "or a.wait_event = 'ClientWrite'",
        "or false",
        "tests/postgres/test_end_frozen_sessions.py"
        "::test_a_session_whose_answer_nobody_reads_is_ended_once_no_process_would_wait_for_it",
    ),
    Mutant(
        "a session that sends values over a slow link is ended",
        "replicator/postgres/connection/end_frozen_sessions.py",
        "   and a.backend_xid is not null\n",
        "",
        "tests/postgres/test_end_frozen_sessions.py"
        "::test_a_session_of_somebody_else_and_one_that_works_are_not_ended",
    ),
]
