"""Faults in what is made of items, events, documents and names that somebody else has chosen."""

from tests.mutants.mutant import Mutant

EMPTY_MAPS = "tests/core/test_empty_maps.py"
ITEM_WORK = "tests/core/test_item_work.py"
HTTP = "tests/monitoring/test_http_server.py"
EXISTING_ROWS = "tests/end_to_end/test_existing_rows.py"

INPUT_MUTANTS = [
    Mutant(
        "an empty map without its tag is not decoded as one",
        "replicator/core/values/dynamodb_json.py",
        "if may_lack_tags(text):",
        "if not text:",
        EMPTY_MAPS,
    ),
    Mutant(
        "images in which tags are missing are taken for usual ones",
        "replicator/core/values/columnar_rows.py",
        "if tags_matter and may_lack_tags(_BETWEEN.join(raws)):",
        "if not raws:",
        EMPTY_MAPS,
    ),
    Mutant(
        "a path into a map is taken for a column that takes no maps",
        "replicator/core/values/columnar_rows.py",
        "usual is None or usual.alone or",
        "usual is not None and",
        EMPTY_MAPS,
    ),
    Mutant(
        "a column of maps is taken for one that takes none",
        "replicator/core/values/columnar_rows.py",
        "or not _NESTING.isdisjoint(usual.tags) for usual in usuals",
        "for usual in usuals",
        EMPTY_MAPS,
    ),
    Mutant(
        "a way into an empty map without its tag does not end there",
        "replicator/core/mapping/attribute_paths.py",
        "return None if len(value) <= 1 and",
        "return None if len(value) == 1 and",
        EMPTY_MAPS,
    ),
    Mutant(
        "a member named M hides that its empty map has no tag",
        "replicator/core/values/dynamodb_json.py",
        " or _MAP_IN_MAP in text",
        "",
        "tests/core/test_dynamodb_json.py",
    ),
    # rows that were there before, and targets that do not fit
    Mutant(
        "rows that were there before are swept",
        "replicator/postgres/control/snapshot/snapshots.py",
        'kept = target.spec.existing_rows != "delete"',
        "kept = not target",
        f"{EXISTING_ROWS}::test_kept_rows_outlive_snapshots_and_repairs",
    ),
    Mutant(
        "a repair takes rows that were there before for extra",
        "replicator/core/verify/row_diff.py",
        ' and spec.existing_rows != "keep"',
        "",
        f"{EXISTING_ROWS}::test_kept_rows_outlive_snapshots_and_repairs",
    ),
    Mutant(
        "nobody has to decide about rows that were there before",
        "replicator/postgres/schema/rows_before_first_claim.py",
        "        if not rows:\n",
        "        if rows:\n",
        f"{EXISTING_ROWS}::test_until_it_is_said_what_becomes_of_them_nothing_is_written",
    ),
    Mutant(
        "rows that the mapping moved count as lost",
        "replicator/engine/snapshot/segment_load.py",
        "return 1 - found / len(asked)",
        "return 1.0",
        f"{EXISTING_ROWS}::test_rows_that_the_mapping_moved_are_no_reason_to_ask_a_person",
    ),
    Mutant(
        "a sweep looks at numbers and at no share",
        "replicator/core/snapshot/snapshot_state.py",
        "((100, 0.5), (1000, 0.25), (10_000, 0.1))",
        "((1000, 0.5),)",
        "tests/core/test_plan_row_deletions.py",
    ),
    Mutant(
        "only types keep a worker from an unfit target",
        "replicator/postgres/schema/database_survey.py",
        "for first in errors(found)[:1]}",
        'for first in errors(found)[:1] if "has the type" in first.message}',
        "tests/postgres/test_refuse_unfit_targets.py",
    ),
    Mutant(
        "a number is looked for in quadratic time",
        "replicator/core/values/canonical_numbers.py",
        r"[0-9]++(?:\.[0-9]*+)?|",
        r"[0-9]+\.?[0-9]*|",
        "tests/core/test_expressions.py"
        "::test_every_expression_ends_soon_with_every_adversarial_input",
    ),
    # records of a stream
    Mutant(
        "a sequence number for which the control schema has no room is taken",
        "replicator/core/stream/decoding/dynamodb_records.py",
        "SEQUENCE_DIGITS_MAX = 60",
        "SEQUENCE_DIGITS_MAX = 64",
        "tests/core/test_dynamodb_records.py::test_a_sequence_number_of_60_digits_is_kept_and_no_longer_one",
    ),
    Mutant(
        "an image that is no object is found later, and its record not named",
        "replicator/core/stream/decoding/dynamodb_records.py",
        "if view[0] == _OBJECT:",
        "if view != _NULL:",
        "tests/core/test_dynamodb_records.py::test_a_record_that_lacks_a_member_is_named",
    ),
    # peers of the server of the pages
    Mutant(
        "headers may take for ever",
        "replicator/monitoring/http_connection_limits.py",
        "keepalive_timeout=bounds.idle_seconds",
        "keepalive_timeout=86400.0",
        f"{HTTP}::test_headers_that_do_not_end_end_the_connection",
    ),
    Mutant(
        "connections are not counted",
        "replicator/monitoring/http_connection_limits.py",
        "len(self._open) > self._bounds.connections",
        "len(self._open) > 10**9",
        f"{HTTP}::test_a_connection_too_many_ends_the_oldest_and_is_served",
    ),
    Mutant(
        "a malformed request is an error of the server",
        "replicator/monitoring/http_connection_limits.py",
        "self.logger.debug(*args, **kw)",
        "super().log_exception(*args, **kw)",
        f"{HTTP}::test_a_malformed_request_is_refused_and_is_no_error_in_the_log",
    ),
    Mutant(
        "a body is accepted",
        "replicator/monitoring/http_server.py",
        "if request.body_exists:",
        "if not request.path:",
        f"{HTTP}::test_a_body_is_refused",
    ),
    Mutant(
        "a page is served by any name",
        "replicator/monitoring/http_server.py",
        'if request.path != "/healthz":',
        "if not request.path:",
        f"{HTTP}::test_a_name_that_anybody_can_register_is_refused_but_for_liveness",
    ),
    Mutant(
        "a key in a wider column of numbers is told apart by its text",
        "replicator/core/values/column_types.py",
        'AS_NUMBER = "trim_scale(({})::numeric)::text"',
        'AS_NUMBER = "({})::text"',
        "tests/postgres/test_accepted_types.py"
        "::test_a_key_column_that_is_accepted_is_swept_and_compared_exactly",
    ),
    Mutant(
        "new columns stop the work on all tables of a worker",
        "replicator/engine/worker/worker.py",
        "if held.table == table.name and key in self.running:",
        "if key in self.running:",
        "tests/end_to_end/test_many_auto_columns.py"
        "::test_new_columns_restart_nothing_but_their_table",
    ),
    Mutant(
        "columns are added as often as attributes appear",
        "replicator/core/mapping/auto_columns.py",
        "PAUSE_SECONDS_MIN if quiet else",
        "PAUSE_SECONDS_MIN if now else",
        "tests/core/test_auto_columns.py"
        "::test_attributes_that_keep_appearing_are_added_less_and_less_often",
    ),
    Mutant(
        "numbers of a list or document may grow without bound",
        "replicator/core/values/canonical_numbers.py",
        "if len(canonical) > len(text) + ZEROS_MAX:",
        "if len(canonical) < 0:",
        f"{ITEM_WORK}::test_a_number_of_many_whose_exponent_stands_for_thousands_of_zeros_is_set_aside",
    ),
    Mutant(
        "numbers of an array may grow without bound",
        "replicator/core/values/converters.py",
        "    one_of_many(raw)\n",
        "",
        f"{ITEM_WORK}::test_a_number_of_many_whose_exponent_stands_for_thousands_of_zeros_is_set_aside",
    ),
    Mutant(
        "the child rows of an item may be of any size",
        "replicator/core/mapping/child_tables.py",
        "if size > ROWS_SIZE_MAX:",
        "if size < 0:",
        f"{ITEM_WORK}::test_an_item_that_becomes_child_rows_beyond_all_measure_is_set_aside",
    ),
    Mutant(
        "an image that is nested too deeply fails the batch",
        "replicator/core/values/columnar_rows.py",
        "except (ValueError, RecursionError):",
        "except ValueError:",
        f"{ITEM_WORK}::test_an_image_that_is_nested_too_deeply_for_one_step_is_set_aside_or_applied",
    ),
    Mutant(
        "all of a document is read before it is found too large",
        "replicator/config/yaml_lines.py",
        " or self._nodes > VALUES_MAX:",
        ":",
        "tests/config/test_yaml_lines.py"
        "::test_no_more_of_a_document_is_read_than_a_configuration_can_hold",
    ),
]
