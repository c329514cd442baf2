"""Faults in what is asked for, stopped, accepted and forgotten: snapshots, halts, gaps."""

from tests.mutants.mutant import Mutant

FENCE = "tests/contract/test_fence.py"
BELIEF = f"{FENCE}::test_who_believes_what_was_so_once_stops_no_table"
SWITCHED = f"{FENCE}::test_a_claim_that_a_switch_ended_is_told_from_one_that_another_worker_ended"
SEGMENTS = "tests/postgres/test_segment_claims.py"
TWO_BEGIN = f"{SEGMENTS}::test_two_workers_that_begin_the_same_snapshot_do_not_end_it"
PAUSED_PAGES = f"{SEGMENTS}::test_pausing_a_table_fences_its_pages_off"
SWEPT = f"{SEGMENTS}::test_a_soft_delete_sweeps_by_marking_and_an_ignored_one_not_at_all"
ORPHANS = f"{SEGMENTS}::test_a_soft_sweep_takes_child_rows_of_no_parent_and_leaves_those_of_a_row"
LINEAGE = "tests/core/test_shard_lineage.py"
REPLAYED = (
    "tests/postgres/test_dead_letter_replay.py"
    "::test_a_batch_that_began_before_the_replay_does_not_miss_what_it_wrote"
)
CHANGED_MAPPING = (
    "tests/postgres/test_migrate.py"
    "::test_a_changed_mapping_fences_the_workers_that_have_the_old_one"
)
PAUSED = "tests/cli/test_pause.py"
ACCEPTED = "tests/cli/test_gaps.py::test_accepting_lets_the_shard_be_read_on_and_is_on_record"
STILL_LISTED = (
    "tests/engine/test_schedules.py"
    "::test_a_finished_shard_that_is_still_listed_is_not_forgotten_and_found_anew"
)
BETWEEN_STREAMS = (
    "tests/cli/test_gaps.py::test_accepting_a_gap_between_streams_ends_what_the_older_ones_left"
)
ONE_OF_SEVERAL = "tests/cli/test_gaps.py::test_one_gap_of_several_is_accepted_by_its_number"
LAMBDA_GAP = (
    "tests/lambda_mode/test_function.py"
    "::test_a_table_created_anew_is_accepted_and_reported_as_a_gap"
)
STALE_HALT = (
    "tests/engine/test_schedules.py"
    "::test_a_failure_is_about_the_table_as_it_was_when_the_attempt_began"
)

LOCK_ORDER = "tests/postgres/test_lock_order.py"
SNAPSHOTS = "replicator/postgres/control/snapshot/snapshots.py"
GAPS_AND_HALTS = "replicator/postgres/control/stream/gaps_and_halts.py"
REGISTRY = "replicator/postgres/schema/registered_mappings.py"
WORKER = "replicator/engine/worker/worker.py"

REDRIVE = "replicator/app/aws_lambda/redrive_failed_batches.py"
REDRIVEN = "tests/lambda_mode/test_redrive_failed_batches.py"
STREAMS = "replicator/postgres/control/stream/generations.py"
REOPENED = (
    "tests/postgres/test_segment_claims.py"
    "::test_a_gap_is_open_again_when_what_was_to_heal_it_is_cancelled"
)
OLDER_STREAM = (
    f"{FENCE}"
    "::test_an_older_stream_that_follows_one_that_is_over_is_a_gap_and_current_once_accepted"
)

CAUGHT_UP = "tests/engine/test_caught_up.py"
STEPS = "replicator/engine/worker/refresh_and_advance_tables.py"
TABLE = "replicator/engine/worker/table_runtime_state.py"

ENDS = "tests/faults/test_ends.py::test_a_run_until_caught_up_finishes_the_others_and_ends"
TAKEN_UP = "tests/faults/test_taken_up.py"

OLDER_MAPPING = (
    "tests/postgres/test_migrate.py"
    "::test_an_older_mapping_is_told_from_a_newer_one_and_taken_back_to_on_purpose_alone"
)

PROCEDURE_MUTANTS = [
    # `run --until-caught-up`
    Mutant(
        "a table whose shards have all ended is caught up though a new stream may follow",
        TABLE,
        "if self.loads or (self.over and not self.discovered_over):",
        "if self.loads:",
        CAUGHT_UP,
    ),
    Mutant(
        "the end of a run reads the positions of shards after their states",
        STEPS,
        "        return await self._refresh(tables, self._positions.open_shards)\n",
        """        await self.refresh(tables)
        open_shards = await self._positions.open_shards([table.name for table in tables])
        return {
            table.name: [shard for shard in open_shards if shard.source == table.name]
            for table in tables
        }
""",
        CAUGHT_UP,
    ),
    # batches that Lambda gave up
    Mutant(
        "a batch that cannot be given back any more leaves no gap on record",
        REDRIVE,
        "                if not dry_run:\n                    await gaps_and_halts.note_gap",
        "                if dry_run:\n                    await gaps_and_halts.note_gap",
        f"{REDRIVEN}::test_records_whose_versions_may_be_pruned_are_refused_as_a_gap",
    ),
    Mutant(
        "records that are too old to be compared are given back",
        REDRIVE,
        "oldest = (now - self._retention + START_MARGIN).timestamp()",
        "oldest = 0.0",
        f"{REDRIVEN}::test_records_whose_versions_may_be_pruned_are_refused_as_a_gap",
    ),
    Mutant(
        "a dry run writes",
        REDRIVE,
        "        if not self._dry_run:",
        "        if left.records:",
        f"{REDRIVEN}::test_a_dry_run_tells_what_would_be_done_and_writes_nothing",
    ),
    Mutant(
        "what a snapshot has read is given back over its newer rows",
        REDRIVE,
        "if record.created_at is None or record.created_at >= at",
        "if record.created_at is None or record.created_at >= 0 * at",
        f"{REDRIVEN}::test_what_a_snapshot_has_loaded_since_is_left_out",
    ),
    Mutant(
        "a batch of the table before the current one is given back",
        REDRIVE,
        "generation(stream_arn) < generation(current)",
        "generation(stream_arn) > generation(current)",
        f"{REDRIVEN}::test_a_table_that_may_not_be_written_is_refused",
    ),
    Mutant(
        "an entry is taken for the table of its name in another account",
        "replicator/app/aws_lambda/table_of_stream.py",
        "tables[name].arn in (None, arn)]",
        "tables[name].arn != name]",
        "tests/lambda_mode/test_function.py"
        "::test_a_table_of_the_same_name_that_was_not_registered_is_not_applied",
    ),
    Mutant(
        "the first event of a stream without new images is applied",
        "replicator/app/aws_lambda/apply_batches.py",
        "            require_new_images(batch.table, batch.view_type)",
        "            pass",
        "tests/lambda_mode/test_function.py"
        "::test_a_stream_without_new_images_halts_the_table_at_the_first_event",
    ),
    Mutant(
        "a stream without new images is migrated for",
        "replicator/app/compile_mappings.py",
        "                require_new_images(table.description.name, table.description.view_type)",
        "                pass",
        "tests/cli/test_check_plan_migrate.py"
        "::test_a_stream_without_new_images_is_refused_before_anything_is_made",
    ),
    Mutant(
        "a process that migrates at its start goes back to its older mapping",
        "replicator/postgres/schema/migrate.py",
        "        if forwards_only:\n",
        "        if not settings:\n",
        OLDER_MAPPING,
    ),
    # tables that were left out, and how a run ends with them
    Mutant(
        "a run ends with 0 though it gave a table up",
        "replicator/app/daemon/run.py",
        "stopped |= left_out.stopped | self._given_up",
        "stopped |= left_out.stopped",
        ENDS,
    ),
    Mutant(
        "a table that was left out is not halted again when it is resumed too early",
        "replicator/app/daemon/recheck_unfit_tables.py",
        "resumed = name in tables and not tables[name].halted",
        "resumed = False",
        f"{TAKEN_UP}"
        "::test_a_table_whose_stream_was_off_at_the_start_goes_on_with_the_command_that_is_printed",
    ),
    # gaps that a load was to heal, and streams that are older than the one before
    Mutant(
        "a gap stays closed though its load was cancelled",
        SNAPSHOTS,
        'if state == "cancelled":',
        "if False:",
        REOPENED,
    ),
    Mutant(
        "a worker goes on writing when a gap opens again",
        SNAPSHOTS,
        'await raise_epochs(connection, self._control, self._deployment, row["source"])',
        "pass",
        REOPENED,
    ),
    Mutant(
        "an older stream is ignored",
        STREAMS,
        'return None if after is None or current is None else ("older", current)',
        "return None",
        OLDER_STREAM,
    ),
    Mutant(
        "a worker of the stream before goes on writing once an older one is current",
        STREAMS,
        "    await connection.execute(control.sql(CLOSE_OLDER_STREAMS), *name, arn)\n"
        "    await _begin_snapshot_anew",
        "    await _begin_snapshot_anew",
        OLDER_STREAM,
    ),
    Mutant(
        "any gap between streams makes its stream the current one",
        GAPS_AND_HALTS,
        'if gap["makes_current"] and await make_current(',
        "if await make_current(",
        BETWEEN_STREAMS,
    ),
    # snapshots
    Mutant(
        "who begins a snapshot second ends it",
        SNAPSHOTS,
        "if not await connection.fetchval(self._control.sql(STILL_ASKED), snapshot.id):",
        "if False:",
        TWO_BEGIN,
    ),
    Mutant(
        "two workers begin a snapshot at once",
        SNAPSHOTS,
        " where deployment = $1 and source = $2\n   for update\n",
        " where deployment = $1 and source = $2\n",
        f"{SEGMENTS}::test_of_two_workers_that_begin_a_snapshot_at_once_one_waits",
    ),
    Mutant(
        "a sweep takes what on_delete says to keep",
        SNAPSHOTS,
        'if target.spec.on_delete == "ignore":',
        "if False:",
        SWEPT,
    ),
    Mutant(
        "what is deleted softly already is stale",
        "replicator/postgres/read/find_stale_rows.py",
        "not p.gone and not exists",
        "not exists",
        SWEPT,
    ),
    Mutant(
        "a sweep leaves child rows of no parent",
        "replicator/core/planning/plan_row_deletions.py",
        "TargetWrites(own, sweep=True)",
        "TargetWrites(own)",
        ORPHANS,
    ),
    Mutant(
        "a sweep takes the child rows of a row that stays",
        "replicator/postgres/write/target_sql.py",
        "       and not exists (select from {parent_table} as p where {is_parent})\n",
        "",
        ORPHANS,
    ),
    Mutant(
        "a sweep takes rows of every target",
        "replicator/core/planning/plan_row_deletions.py",
        "    if own.name != target:\n        return writes\n",
        "",
        "tests/core/test_plan_row_deletions.py",
    ),
    Mutant(
        "a sweep of nearly everything asks nobody",
        "replicator/engine/snapshot/segment_load.py",
        "and not await self._may_sweep(claim, target):",
        "and False:",
        "tests/end_to_end/test_snapshot.py"
        "::test_a_sweep_that_would_delete_suspiciously_much_waits_for_a_person",
    ),
    # in which order rows are locked
    Mutant(
        "a gap is accepted under no lock of its table",
        GAPS_AND_HALTS,
        "await connection.execute(self._control.sql(LOCK_TABLE), self._deployment, source)\n",
        "pass\n",
        LOCK_ORDER,
    ),
    Mutant(
        "a break is noted under no lock of its table",
        GAPS_AND_HALTS,
        """            await connection.execute(self._control.sql(LOCK_TABLE), *name)
            if created_at is None""",
        "            if created_at is None",
        LOCK_ORDER,
    ),
    # who believes in what was so before
    Mutant(
        "a pause stops nobody who writes",
        GAPS_AND_HALTS,
        "self._control.sql(UNHALT), self._deployment, source)\n            await raise_epochs(",
        "self._control.sql(UNHALT), self._deployment, source)\n            lambda *_: (",
        PAUSED,
    ),
    Mutant(
        "a pause stops no page of a snapshot",
        "replicator/postgres/control/stream/raise_epochs.py",
        "for text in (RAISE_EPOCHS, RAISE_SEGMENT_EPOCHS):",
        "for text in (RAISE_EPOCHS,):",
        PAUSED_PAGES,
    ),
    Mutant(
        "a replay stops no batch that began before it",
        "replicator/postgres/write/dead_letter_replay.py",
        "            await connection.execute(self._control.sql(RAISE_EPOCHS), *name)\n",
        "",
        REPLAYED,
    ),
    Mutant(
        "a changed mapping stops nobody who writes with the one before",
        REGISTRY,
        "        await raise_epochs(connection, control, deployment, spec.name)\n",
        "",
        CHANGED_MAPPING,
    ),
    Mutant(
        "a gap is accepted beside who works on its shard",
        GAPS_AND_HALTS,
        "       gap_accepted_at = now(),\n       epoch = epoch + 1\n",
        "       gap_accepted_at = now()\n",
        ACCEPTED,
    ),
    Mutant(
        "a failure under an older stream halts the table",
        GAPS_AND_HALTS,
        "(stream_arn, mapping_fingerprint) is not distinct from ($5, $6)",
        "(mapping_fingerprint, $5) is not distinct from ($6, $5::text)",
        BELIEF,
    ),
    Mutant(
        "a failure under an older mapping halts the table",
        GAPS_AND_HALTS,
        "(stream_arn, mapping_fingerprint) is not distinct from ($5, $6)",
        "(stream_arn, $6) is not distinct from ($5, $6::text)",
        BELIEF,
    ),
    Mutant(
        "a failure halts the table as it is by then",
        WORKER,
        "table.name, reason=reason, remedy=remedy, seen=seen",
        "table.name, reason=reason, remedy=remedy, seen=table.belief",
        STALE_HALT,
    ),
    Mutant(
        "a failure halts the table as it is once the attempt has failed",
        "replicator/engine/worker/supervisor.py",
        "await _halted(job, halt, failure, stopping",
        "await _halted(job, job.halting and job.halting(), failure, stopping",
        STALE_HALT,
    ),
    # what was lost, and what is over
    Mutant(
        "a gap is not accepted though it was chosen",
        "replicator/engine/worker/refresh_and_advance_tables.py",
        'if not gaps or on_gap == "stop":',
        'if not gaps or on_gap != "resnapshot":',
        "tests/engine/test_schedules.py"
        "::test_a_gap_is_accepted_at_once_where_the_configuration_says_so",
    ),
    Mutant(
        "Lambda accepts gaps though nobody chose it",
        "replicator/app/aws_lambda/apply_batches.py",
        'if self._mapping.spec.on_gap == "continue":',
        "if True:",
        LAMBDA_GAP,
    ),
    Mutant(
        "Lambda accepts no gap though it was chosen",
        "replicator/app/aws_lambda/apply_batches.py",
        'if self._mapping.spec.on_gap == "continue":',
        "if False:",
        LAMBDA_GAP,
    ),
    Mutant(
        "a shard is forgotten as soon as it is finished",
        "replicator/core/stream/shard_lineage.py",
        "and now - (shard.done_at or now) > FINISHED_SHARDS_KEPT",
        "and now >= (shard.done_at or now)",
        LINEAGE,
    ),
    Mutant(
        "a shard is forgotten before its parent is",
        "replicator/core/stream/shard_lineage.py",
        "        and not _parents(shard, known)\n",
        "",
        LINEAGE,
    ),
    Mutant(
        "a shard is forgotten before its children are begun",
        "replicator/core/stream/shard_lineage.py",
        "and all(child.finished or child.position is not None for",
        "and all(True for",
        LINEAGE,
    ),
    Mutant(
        "a shard is forgotten that is not finished",
        "replicator/postgres/control/stream/table_and_shard_store.py",
        "   and (state = 'done' or state = 'gap' and gap_accepted_at is not null)\n",
        "",
        f"{FENCE}::test_only_a_shard_that_is_finished_is_forgotten",
    ),
    Mutant(
        "what an older stream still holds is read after the newer one",
        GAPS_AND_HALTS,
        "set state = case when older.stream then 'gap' else 'waiting' end,\n"
        "       done_at = case when older.stream then now() end,\n",
        "set state = 'waiting',\n",
        "tests/cli/test_gaps.py::test_a_shard_of_an_older_stream_is_never_read_again",
    ),
    Mutant(
        "the gap before a new stream leaves the older ones open",
        GAPS_AND_HALTS,
        "   set gap_accepted_at = coalesce(s.gap_accepted_at, now()),\n",
        "   set gap_accepted_at = s.gap_accepted_at,\n",
        BETWEEN_STREAMS,
    ),
    Mutant(
        "what an older stream left is kept for ever",
        GAPS_AND_HALTS,
        "       done_at = coalesce(s.done_at, now())\n",
        "       done_at = s.done_at\n",
        BETWEEN_STREAMS,
    ),
    Mutant(
        "one accepted gap is all of them",
        GAPS_AND_HALTS,
        "   and ($5::bigint is null or id = $5)\n",
        "   and ($5::bigint is null or id <> 0)\n",
        ONE_OF_SEVERAL,
    ),
    Mutant(
        "a shard that is listed is forgotten as if it were not",
        WORKER,
        "forget_finished(listed)",
        "forget_finished(())",
        STILL_LISTED,
    ),
    Mutant(
        "gaps are accepted though nobody chose it",
        "replicator/engine/worker/refresh_and_advance_tables.py",
        'if not gaps or on_gap == "stop":',
        "if not gaps:",
        "tests/engine/test_schedules.py::test_a_gap_waits_for_somebody_to_accept_it",
    ),
    Mutant(
        "a claim that another worker ended is taken for a switch of the table",
        "replicator/postgres/control/stream/shard_claims.py",
        "select claimed_epoch = $4 and epoch > $4 and claim_id = $5 from",
        "select epoch > $4 and $5::uuid is not null from",
        SWITCHED,
    ),
]
