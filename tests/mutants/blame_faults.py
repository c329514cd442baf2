"""Faults in who is to blame: a row, its table, the server."""

from tests.mutants.mutant import Mutant

BLAME_MUTANTS = [
    Mutant(
        "what a trigger raises with a server's SQLSTATE is tried for ever",
        "replicator/postgres/connection/error_translation.py",
        "    if is_raised(error) and sqlstate[:2] in RAISED_CLASSES:\n",
        "    if not sqlstate:\n",
        "tests/postgres/test_error_translation.py"
        "::test_what_a_trigger_raises_is_its_own_word_about_a_row_whatever_the_sqlstate",
    ),
    Mutant(
        "what a trigger raises against every row is blamed on each",
        "replicator/postgres/write/blame_row_or_table.py",
        "        raised = may_mean_every_row(sqlstate)\n",
        "        raised = False\n",
        "tests/postgres/test_blame_row_or_table.py"
        "::test_what_a_trigger_raises_against_every_row_halts_the_table",
    ),
    Mutant(
        "a table that cannot be halted at once is tried again as if it could go on",
        "replicator/engine/worker/supervisor.py",
        "            if backoff.attempts >= HALT_ATTEMPTS_MAX:",
        "            if backoff.attempts >= 1:",
        "tests/engine/test_supervisor.py"
        "::test_a_halt_that_waits_for_what_was_cut_off_is_tried_before_the_job_is",
    ),
    Mutant(
        "a limit of the pooler is taken for a lost server",
        "replicator/postgres/connection/error_translation.py",
        '    "query timeout": "query_timeout",',
        '    "query time out": "query_timeout",',
        "tests/postgres/test_error_translation.py"
        "::test_a_time_limit_is_known_by_its_name_also_beneath_a_lost_connection",
    ),
    Mutant(
        "an error that nobody foresaw blames the row",
        "replicator/postgres/connection/error_translation.py",
        "    if sqlstate in ROW_SQLSTATES:",
        '    if sqlstate != "":',
        "tests/postgres/test_error_translation.py"
        "::test_only_a_short_list_blames_a_row_and_what_nobody_foresaw_halts",
    ),
    Mutant(
        "a row is blamed although the table refuses every row",
        "replicator/postgres/write/blame_row_or_table.py",
        "                    if name == writes.target.name:",
        "                    if not name:",
        "tests/faults/test_target_at_fault.py"
        "::test_a_fault_of_the_table_halts_it_and_sets_nothing_aside",
    ),
    Mutant(
        "triggers and persistence of partitions are not looked at",
        "replicator/postgres/schema/catalog.py",
        "where p.isleaf and p.relid <> a.oid",
        "where p.isleaf and p.relid = a.oid and false",
        "tests/postgres/test_catalog_fitness.py"
        "::test_what_does_not_fit_is_found_and_its_remedy_mends_it",
    ),
    Mutant(
        "a setting of the database changes values",
        "replicator/postgres/connection/connect.py",
        '    "array_nulls": "on",\n',
        '    "array_nulls": "off",\n',
        "tests/postgres/test_server_fitness.py::test_no_setting_of_a_role_or_database_changes_a_value",
    ),
]
