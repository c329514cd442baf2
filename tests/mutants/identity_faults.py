"""Faults in what decides which table, which key and which mapping is written."""

from tests.mutants.mutant import Mutant

FINGERPRINTS = "tests/core/test_fingerprint.py"
FUNCTION = "tests/lambda_mode/test_function.py"
KEY_CHANGED = "tests/end_to_end/test_key_changed.py"
LOST_CLAIMS = "tests/postgres/test_shard_claims.py"
MIGRATING = "tests/postgres/test_migrate.py"

FINGERPRINT = "replicator/core/mapping/fingerprint.py"
REGISTRY = "replicator/postgres/schema/registered_mappings.py"

SEARCH_PATH = "tests/postgres/test_search_path.py"

IDENTITY_MUTANTS = [
    Mutant(
        "the search path of a session is not pinned",
        "replicator/postgres/connection/connect.py",
        "statements = [PIN]",
        'statements = ["select"]',
        SEARCH_PATH,
    ),
    Mutant(
        "the search path behind a pooler is not pinned",
        "replicator/postgres/connection/connect.py",
        'VALUES_WITHIN = f"{PIN_WITHIN}; " + ',
        'VALUES_WITHIN = "" + ',
        SEARCH_PATH,
    ),
    Mutant(
        "triggers see the path of the statements",
        "replicator/postgres/connection/connect.py",
        "pg_catalog.set_config('search_path', null, true)",
        "pg_catalog.current_setting('search_path')",
        SEARCH_PATH,
    ),
    Mutant(
        "a field of a column is left out of the fingerprint",
        FINGERPRINT,
        "more = _said(spec, but=_FACTS_OF_A_COLUMN)",
        'more = _said(spec, but=(*_FACTS_OF_A_COLUMN, "other_types"))',
        FINGERPRINTS,
    ),
    Mutant(
        "a history is left out of the fingerprint",
        FINGERPRINT,
        "return _digest([rows, policies, own] if policies or own else rows)",
        "return _digest([rows, own] if own else rows)",
        FINGERPRINTS,
    ),
    Mutant(
        "a number and the string that looks like it have one fingerprint",
        FINGERPRINT,
        'return {"decimal": str(value)}',
        "return str(value)",
        FINGERPRINTS,
    ),
    Mutant(
        "a history that is added loads a table anew",
        FINGERPRINT,
        "more = _said(spec, but={*_FACTS_OF_A_TARGET, *POLICIES})",
        "more = _said(spec, but=_FACTS_OF_A_TARGET)",
        FINGERPRINTS,
    ),
    Mutant(
        "an upgrade loads tables anew",
        REGISTRY,
        "return self.fingerprint in {target.fingerprint, target.former_fingerprint}",
        "return self.fingerprint == target.fingerprint",
        MIGRATING,
    ),
    Mutant(
        "claims of a shard are told apart by their epochs alone",
        "replicator/postgres/write/fence.py",
        "and claim_id = $11::uuid\n",
        "and $11::uuid is not null\n",
        LOST_CLAIMS,
    ),
    Mutant(
        "claims of a snapshot's parts are told apart by their epochs alone",
        "replicator/postgres/write/fence.py",
        "and (epoch, claim_id) = ($7, $14::uuid)\n",
        "and epoch = $7 and $14::uuid is not null\n",
        LOST_CLAIMS,
    ),
    Mutant(
        "nobody looks at the key of the table that is read",
        "replicator/app/daemon/compose_table.py",
        "    require_key(mapping.spec.name, description.key, mapping.source_key)\n",
        "    _ = require_key\n",
        f"{KEY_CHANGED}::test_a_snapshot_that_is_asked_for_reads_no_table_with_another_key",
    ),
    Mutant(
        "a part of a snapshot is read without a look at its table",
        "replicator/engine/snapshot/segment_load.py",
        "            await parts.look_at_table()\n",
        "",
        f"{KEY_CHANGED}::test_a_snapshot_that_is_asked_for_reads_no_table_with_another_key",
    ),
    Mutant(
        "a deletion that is ignored supersedes no letter of its own batch",
        "replicator/core/planning/plan_batch.py",
        "superseded = self._state.newest[key] != index",
        "superseded = key in self._rejected or key in self._softly",
        "tests/core/test_plan_batch.py::test_batch_borders_change_neither_rows_nor_open_letters",
    ),
    Mutant(
        "columns that appeared outlive the table that is forgotten",
        "replicator/postgres/control/forget_table.py",
        '    "auto_column",\n',
        "",
        "tests/cli/test_forget.py",
    ),
    Mutant(
        "two entries read one table",
        REGISTRY,
        "twins = [other for other, same in configured.items() if same == arn and other > name]",
        "twins = [other for other, same in configured.items() if same == arn and not name]",
        MIGRATING,
    ),
    Mutant(
        "an entry reads a table beside its own old name",
        REGISTRY,
        "if known.table_arn == arn and other not in configured",
        "if known.table_arn == arn and other == name and other not in configured",
        MIGRATING,
    ),
    Mutant(
        "two entries of one place and name are accepted",
        "replicator/config/cross_checks.py",
        "        if key in seen:\n",
        "        if False:\n",
        "tests/config/test_load_settings.py",
    ),
    Mutant(
        "two targets share one name",
        "replicator/config/cross_checks.py",
        "        if other != table:\n",
        "        if False:\n",
        "tests/config/test_load_settings.py",
    ),
    Mutant(
        "the time to live is hidden, so that no deletion is an expiry",
        "replicator/config/cross_checks.py",
        "            if parse_path(text) == (table.expire_attribute,):\n",
        "            if False:\n",
        "tests/config/test_load_settings.py",
    ),
    Mutant(
        "a key is cut by two patterns",
        "replicator/core/mapping/key_columns.py",
        "        if patterns.setdefault(part.attribute, part.pattern) != part.pattern:\n",
        "        if False:\n",
        "tests/core/test_split_strings.py",
    ),
    Mutant(
        "records of a table with another key are applied",
        "replicator/core/planning/batch_in_planning.py",
        "require_keys_alike(mapping.spec.name, images[0], mapping.source_key)",
        "_ = require_keys_alike",
        f"{FUNCTION}::test_events_of_a_table_with_another_key_halt_the_table_at_the_first_one",
    ),
    Mutant(
        "a request is dated by a clock that its answer corrects",
        "replicator/engine/stream/shard_reader.py",
        "        requested_at = min(requested_at, answered_at - elapsed)\n",
        "        _ = elapsed\n",
        "tests/engine/test_shard_reader.py",
    ),
    Mutant(
        "numbers of keys are told apart by their digits behind the point",
        "replicator/core/values/column_types.py",
        'AS_NUMBER = "trim_scale(({})::numeric)::text"',
        'AS_NUMBER = "({})::text"',
        "tests/postgres/test_segment_claims.py"
        "::test_a_sweep_over_an_existing_key_of_a_wider_number_type_ends_and_takes_stale_rows_alone",
    ),
]
