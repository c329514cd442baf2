"""Faults in what is compared, repaired, refused and told; and in columns that appear."""

from tests.mutants.mutant import Mutant

OLDER_MAPPING = "tests/postgres/test_older_mapping.py"
REPAIRS = "tests/postgres/test_verify_repair.py"
ROUNDS = (
    "tests/end_to_end/test_target_changed.py"
    "::test_a_target_that_would_round_is_halted_at_the_start_and_nothing_is_rounded"
)
ROUNDS_IN_LAMBDA = (
    "tests/lambda_mode/test_function.py::test_nothing_is_applied_to_a_target_that_would_round"
)
AUTO = "tests/core/test_auto_columns.py"
DRIFT = "tests/core/test_attribute_drift.py"
COLUMNS = "tests/postgres/test_add_auto_columns.py"
MET = "tests/postgres/test_auto_column_watch.py"
SETTLING = "tests/engine/test_confirm_differences.py"
RUNBOOK = "tests/docs/test_runbook.py"

COMPARISON = "replicator/engine/verify/confirm_differences.py"
SNAPSHOTS = "replicator/postgres/control/snapshot/snapshots.py"
REPAIRING = "replicator/postgres/control/snapshot/verify_repair_snapshots.py"
REGISTRY = "replicator/postgres/schema/registered_mappings.py"
ADDING = "replicator/postgres/schema/add_auto_columns.py"
MEETING = "replicator/app/daemon/auto_column_watch.py"
INTERFERES = (
    "tests/postgres/test_trigger_interference.py"
    "::test_a_batch_that_meets_it_writes_nothing_and_says_what_check_says"
)

COMPARISON_MUTANTS = [
    # what is rejected, and what a column may be called
    Mutant(
        "an item of another target counts as a dead letter where its key does not fit",
        "replicator/core/verify/row_diff.py",
        "return MayBe(None, str(rejection) if belongs else None)",
        "return MayBe(None, str(rejection) if image is not None else None)",
        "tests/core/test_row_diff.py",
    ),
    Mutant(
        "an item that PostgreSQL refused is a difference",
        COMPARISON,
        'if place in refused and difference.kind != "extra":',
        'if not refused and difference.kind != "extra":',
        SETTLING,
    ),
    Mutant(
        "keys of child rows are read beside names of the statement's own",
        "replicator/postgres/read/compare_child_rows.py",
        "    select {key_cells}, row_number() over (order by {key}) as number,",
        "    select {key_cells}, t.*, row_number() over (order by {key}) as number,",
        "tests/end_to_end/test_column_names.py",
    ),
    # which rows an older mapping wrote
    Mutant(
        "nobody notes when a mapping was changed",
        REGISTRY,
        "then pg_current_xact_id()::text::bigint else t.mapping_xid end,",
        "then t.mapping_xid else t.mapping_xid end,",
        OLDER_MAPPING,
    ),
    Mutant(
        "every migration makes the rows those of an older mapping",
        REGISTRY,
        "then pg_current_xact_id()::text::bigint else t.mapping_xid end,",
        "then pg_current_xact_id()::text::bigint else pg_current_xact_id()::text::bigint end,",
        OLDER_MAPPING,
    ),
    Mutant(
        "xmin is believed after it has come round",
        "replicator/postgres/read/compare_target_rows.py",
        "::text::bigint - mapping_xid < 2000000000",
        "::text::bigint - mapping_xid is not null",
        OLDER_MAPPING,
    ),
    # targets that would round
    Mutant(
        "a column that rounds is as good as any",
        "replicator/postgres/schema/table_fitness.py",
        "if not accepts(found.base, column.type, enum=found.enum):",
        "if not column:",
        ROUNDS_IN_LAMBDA,
    ),
    Mutant(
        "Lambda writes a target that rounds",
        "replicator/app/aws_lambda/execution_environment.py",
        "        await require_fit(self._database, [mapping])\n",
        "        pass\n",
        ROUNDS_IN_LAMBDA,
    ),
    Mutant(
        "a worker writes a target that rounds",
        "replicator/app/prepare_tables.py",
        "for source, finding in found.unfit.items()",
        "for source, finding in found.unfit.items() if not source",
        ROUNDS,
    ),
    Mutant(
        "a repair writes a target that rounds",
        "replicator/app/verify.py",
        "            refuse_unfit(found)\n",
        "            pass\n",
        ROUNDS,
    ),
    Mutant(
        "a replay writes a target that rounds",
        "replicator/app/administration/dead_letter_replay.py",
        "        await require_fit(database, [mappings[source] for source in by_source])\n",
        "",
        "tests/end_to_end/test_dead_letters_by_hand.py"
        "::test_a_wrong_mapping_is_mended_replayed_and_what_is_left_discarded",
    ),
    Mutant(
        "a child table may round",
        "replicator/postgres/schema/database_survey.py",
        "for written in target.row_tables:",
        "for written in (target.table,):",
        "tests/postgres/test_refuse_unfit_targets.py",
    ),
    # what somebody makes of a target while it is written
    Mutant(
        "a batch is written through a trigger that changes its rows",
        "replicator/postgres/write/fence.py",
        'condition = "" if unless is None else',
        'condition = "" if unless else',
        INTERFERES,
    ),
    Mutant(
        "a batch that met a trigger does not say so",
        "replicator/postgres/write/plan_writer.py",
        'if row is not None and row["interference"]:',
        "if row is None:",
        INTERFERES,
    ),
    Mutant(
        "triggers of partitions are not looked for",
        "replicator/postgres/write/trigger_interference.py",
        "on i.inhparent = w.oid)",
        "on i.inhparent = 0)",
        "tests/postgres/test_trigger_interference.py::test_a_trigger_of_a_partition_alone_is_seen",
    ),
    Mutant(
        "row security is not looked for",
        "replicator/postgres/write/trigger_interference.py",
        "(w.whole and row_security_active(c.oid))",
        "false",
        "tests/postgres/test_trigger_interference.py"
        "::test_row_security_that_hides_rows_from_the_role_is_seen",
    ),
    Mutant(
        "a running worker does not survey its targets",
        "replicator/app/daemon/target_fitness_watch.py",
        "            for name, error in unfit.items():\n",
        "            for name, error in list(unfit.items())[:0]:\n",
        "tests/faults/test_unfit_while_running.py"
        "::test_a_table_that_nobody_writes_halts_with_the_words_of_check",
    ),
    Mutant(
        "a warm Lambda function does not survey its targets",
        "replicator/app/aws_lambda/apply_batches.py",
        "        await self._survey_at_times()\n",
        "",
        "tests/lambda_mode/test_function.py"
        "::test_a_warm_function_halts_a_table_that_became_unfit_and_goes_on_when_it_is_mended",
    ),
    # what is compared
    Mutant(
        "one look at rest is enough for a difference",
        COMPARISON,
        "CONFIRMATIONS = 2",
        "CONFIRMATIONS = 1",
        SETTLING,
    ),
    Mutant(
        "looks at rest count though a change came between them",
        COMPARISON,
        "candidate.confirmed + 1 if at_rest else 0",
        "candidate.confirmed + at_rest",
        SETTLING,
    ),
    Mutant(
        "a change in the stream is no reason to wait",
        COMPARISON,
        "candidate.item.identity not in touched",
        "True",
        SETTLING,
    ),
    Mutant(
        "where the stream is read from is asked after the row was looked at",
        COMPARISON,
        "        touched = await self._unapplied.touched(\n",
        "        marks = await with_retries(self._unapplied.marks)\n"
        "        touched = await self._unapplied.touched(\n",
        SETTLING,
    ),
    # what is repaired
    Mutant(
        "a repair writes behind the fence alone",
        REPAIRING,
        'ordering=OrderingMode.of(table["mode"]).while_loading()',
        'ordering=OrderingMode.of(table["mode"])',
        REPAIRS,
    ),
    Mutant(
        "a repair takes the table from Lambda",
        REPAIRING,
        'ordering=OrderingMode.of(table["mode"]).while_loading()',
        "ordering=OrderingMode.GUARD",
        REPAIRS,
    ),
    Mutant(
        "a table is the daemon's once a repair is over",
        SNAPSHOTS,
        'ordering=OrderingMode.of(table["mode"]).after_loading(resting)',
        "ordering=resting",
        REPAIRS,
    ),
    Mutant(
        "a repair is not known to who writes beside it",
        REPAIRING,
        "            snapshot_id=number,\n",
        "",
        REPAIRS,
    ),
    Mutant(
        "a repair begins beside another one",
        REPAIRING,
        ' or table["snapshot_id"] is not None:',
        ":",
        REPAIRS,
    ),
    Mutant(
        "a repair writes a table that is stopped",
        REPAIRING,
        'table["stopped"] or ',
        "",
        REPAIRS,
    ),
    Mutant(
        "a repair closes the dead letters of all items",
        SNAPSHOTS,
        "   and s.reason <> 'repair'\n",
        "",
        "tests/postgres/test_letters_of_scans.py"
        "::test_a_repair_closes_letters_of_the_items_that_it_reads_alone",
    ),
    Mutant(
        "a repair leaves rows without an item",
        "replicator/engine/verify/repair_rows.py",
        "if isinstance(must, MustNotBe):",
        "if False:",
        REPAIRS,
    ),
    Mutant(
        "a repair that failed leaves the table guarded",
        "replicator/app/verify_repair.py",
        "        await asyncio.shield(_end(database, name, number))\n",
        "",
        REPAIRS,
    ),
    Mutant(
        "a repair that is complete counts as abandoned",
        "replicator/app/verify_repair.py",
        "if not await snapshots.finish(snapshot):",
        "if True:",
        REPAIRS,
    ),
    # columns that appear
    Mutant(
        "a value of another type is set aside though it has a place in the rest",
        "replicator/core/mapping/auto_columns.py",
        ', other_types="rest")',
        ")",
        AUTO,
    ),
    Mutant(
        "a target gets as many columns as there are attributes",
        "replicator/core/mapping/auto_columns.py",
        "if len(taken) >= COLUMNS_MAX:",
        "if False:",
        AUTO,
    ),
    Mutant(
        "a column is asked for again for a value of another type",
        "replicator/core/mapping/auto_columns.py",
        "    if attribute in taken:\n",
        "    if False:\n",
        AUTO,
    ),
    Mutant(
        "each column is added by a statement of its own",
        ADDING,
        "                await connection.execute(_alter(target.table, columns))\n",
        "                for column in columns:\n"
        "                    await connection.execute(_alter(target.table, [column]))\n",
        f"{COLUMNS}::test_one_statement_adds_all_columns_of_a_target",
    ),
    Mutant(
        "columns of another worker take no places of a target",
        ADDING,
        "in compiled(known).targets:",
        "in mapping.targets:",
        f"{COLUMNS}::test_what_another_worker_added_meanwhile_takes_names_and_places",
    ),
    Mutant(
        "names that items choose are remembered without a bound",
        MEETING,
        "if name in met or len(met) < NAMES_MAX:",
        "if True:",
        f"{MET}::test_names_are_remembered_and_told_with_a_bound",
    ),
    Mutant(
        "each look tells of attributes without a column, however many were told",
        MEETING,
        "[: NAMES_MAX - len(told)]",
        "",
        f"{MET}::test_names_are_remembered_and_told_with_a_bound",
    ),
    Mutant(
        "columns whose addition is cancelled are forgotten",
        MEETING,
        "        except BaseException:",
        "        except Exception:",
        f"{MET}::test_an_addition_that_is_cancelled_is_made_by_the_next",
    ),
    Mutant(
        "who does not know of a new column goes on writing",
        ADDING,
        "        if added:\n",
        "        if False:\n",
        f"{COLUMNS}::test_who_does_not_know_a_column_writes_no_more",
    ),
    Mutant(
        "a column of another type is taken for one that appeared",
        ADDING,
        "column.name not in existing or accepts(existing[column.name], column.spec.type)",
        "True",
        f"{COLUMNS}::test_a_column_of_somebody_else_is_left_alone",
    ),
    Mutant(
        "what could not be written down was never met",
        "replicator/core/status/attribute_drift.py",
        "            self._add(name, seen)\n\n",
        "            pass\n\n",
        DRIFT,
    ),
    Mutant(
        "names without end take memory without end",
        "replicator/core/status/attribute_drift.py",
        "if name in self._met or len(self._met) < NAMES_MAX:",
        "if True:",
        DRIFT,
    ),
    # what to do about it
    Mutant(
        "an alert without a section in the runbook",
        "deploy/prometheus/alerts.yml",
        "- alert: ReplicatorLagHigh\n",
        "- alert: ReplicatorLate\n",
        RUNBOOK,
    ),
    Mutant(
        "a section of the runbook under another name",
        "docs/runbook.md",
        "\n### ReplicatorGap\n",
        "\n### Gaps\n",
        RUNBOOK,
    ),
    Mutant(
        "an alert that links to no section",
        "deploy/prometheus/alerts.yml",
        "docs/runbook.md#replicatorlaghigh\n",
        "docs/runbook.md#lag\n",
        "tests/monitoring/test_alerts.py"
        "::test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on",
    ),
    Mutant(
        "an error without a section in the runbook",
        "replicator/errors.py",
        "class SourceUnavailable(ReplicatorError):",
        "class SourceAsleep(ReplicatorError):\n    pass\n\n\n"
        "class SourceUnavailable(ReplicatorError):",
        RUNBOOK,
    ),
]
