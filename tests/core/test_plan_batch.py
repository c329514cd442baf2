"""A batch becomes a plan."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.core.mapping.compile_mapping import compile_table
from replicator.core.planning.plan_batch import NO_IMAGE, plan_batch
from replicator.core.planning.write_plan import WritePlan
from replicator.core.stream.decoding.dynamodb_records import numbers_of
from replicator.core.stream_record import StreamRecord
from replicator.core.table_spec import SourceKey, TableSpec, TargetSpec
from replicator.errors import RejectionHalts
from tests.support.builders import NOON, record, table_mapping, target
from tests.support.specs import column_spec

READ_AT = NOON.timestamp()


def n(value: object) -> dict[str, str]:
    return {"N": str(value)}


def planned(*records: StreamRecord, **options: Any) -> WritePlan:
    mapping = options.pop("mapping", None) or table_mapping()
    return plan_batch(records, mapping, read_at=READ_AT, **options)


def outcomes(plan: WritePlan) -> dict[str, int]:
    found: dict[str, int] = {}
    for (_, outcome), count in plan.outcomes.items():
        found[outcome] = found.get(outcome, 0) + count
    return found


def test_the_last_change_of_a_key_wins():
    plan = planned(record(1, n=n(1)), record(2, "b", n=n(7)), record(3, n=n(2)))

    assert sorted(plan.writes[0].upserted.rows) == [("a", "2"), ("b", "7")]
    assert outcomes(plan) == {"applied": 2, "superseded": 1}


def test_a_removal_that_is_last_deletes_and_writes_nothing_else():
    plan = planned(record(1, n=n(1)), record(2))

    assert plan.writes[0].upserted.rows == []
    assert plan.writes[0].deleted.rows == [("a",)]


def test_an_item_that_is_put_again_after_its_removal_is_not_deleted():
    plan = planned(record(1, n=n(1)), record(2), record(3, n=n(3)))

    assert plan.writes[0].upserted.rows == [("a", "3")]
    assert plan.writes[0].deleted.rows == []


def test_the_newest_convertible_change_applies_when_the_last_is_rejected():
    plan = planned(record(1, n=n(1)), record(2, n=n(2)), record(3, n=n("1.5")))

    assert plan.writes[0].upserted.rows == [("a", "2")]
    assert [letter.record.letter_id for letter in plan.dead_letters] == [3]
    assert outcomes(plan) == {"dead_letter": 1, "applied": 1, "superseded": 1}


def test_a_removal_counts_as_convertible_before_a_rejected_change():
    plan = planned(record(1, n=n(1)), record(2), record(3, n=n("1.5")))

    assert plan.writes[0].deleted.rows == [("a",)]
    assert plan.writes[0].upserted.rows == []


def test_a_rejection_names_attribute_and_column_and_holds_no_value():
    (letter,) = planned(record(1, n={"S": "secret"})).dead_letters

    assert "'n'" in letter.reason
    assert "secret" not in letter.reason


def test_an_older_rejected_change_of_the_same_key_is_superseded_at_once():
    plan = planned(record(1, n=n("1.5")), record(2, n=n("2.5")))

    newest_first = [(x.record.letter_id, x.superseded) for x in plan.dead_letters]
    assert newest_first == [(2, False), (1, True)]


def test_one_target_that_rejects_does_not_keep_the_others_from_applying():
    mapping = table_mapping(
        target("public.strict"),
        TargetSpec("public.loose", columns=(column_spec("n", "n", "numeric"),)),
    )

    plan = planned(record(1, n=n("1.5")), mapping=mapping)

    assert [writes.upserted.rows for writes in plan.writes] == [[], [("a", "1.5")]]
    assert [letter.target for letter in plan.dead_letters] == ["public.strict"]
    assert outcomes(plan) == {"dead_letter": 1}


def test_on_error_halt_refuses_the_batch():
    with pytest.raises(RejectionHalts, match="record 1"):
        planned(record(1, n=n("1.5")), mapping=table_mapping(target(on_error="halt")))


def test_a_change_without_a_new_image_is_never_taken_for_a_removal():
    change = StreamRecord(*numbers_of(1), "modify", {"pk": {"S": "a"}}, None, None, READ_AT)

    plan = planned(change)

    assert plan.writes[0].deleted.rows == []
    assert [letter.reason for letter in plan.dead_letters] == [NO_IMAGE]


def test_ignored_removals_leave_the_older_change_to_be_applied():
    plan = planned(record(1, n=n(1)), record(2), mapping=table_mapping(target(on_delete="ignore")))

    assert plan.writes[0].upserted.rows == [("a", "1")]
    assert outcomes(plan) == {"applied": 1, "filtered": 1}


def test_an_expiry_follows_its_own_policy():
    mapping = table_mapping(target(on_expire="ignore"))

    expired = planned(record(1, expired=True), mapping=mapping)
    removed = planned(record(1), mapping=mapping)

    assert expired.writes[0].deleted.rows == []
    assert removed.writes[0].deleted.rows == [("a",)]


def test_a_soft_removal_keeps_the_row_as_the_batch_last_had_it():
    plan = planned(
        record(1, n=n(1)),
        record(2, at=NOON + timedelta(seconds=5)),
        mapping=table_mapping(target(on_delete="soft")),
    )

    assert plan.writes[0].upserted.rows == [("a", "1", "2026-03-01T12:00:05+00:00")]
    assert plan.writes[0].softly_deleted.rows == []


def test_a_soft_removal_alone_marks_the_row_that_is_there():
    plan = planned(record(2), mapping=table_mapping(target(on_delete="soft")))

    assert plan.writes[0].softly_deleted.rows == [("a", "2026-03-01T12:00:00+00:00")]


def test_an_undelete_clears_the_mark():
    plan = planned(record(2), record(3, n=n(3)), mapping=table_mapping(target(on_delete="soft")))

    assert plan.writes[0].upserted.rows == [("a", "3", None)]
    assert plan.writes[0].softly_deleted.rows == []


def test_an_item_that_leaves_a_filter_is_deleted_without_an_old_image():
    mapping = table_mapping(target(when={"kind": "x"}))

    plan = planned(
        record(1, n=n(1), kind={"S": "x"}), record(2, n=n(1), kind={"S": "y"}), mapping=mapping
    )

    assert plan.writes[0].deleted.rows == [("a",)]
    assert plan.writes[0].upserted.rows == []
    assert outcomes(plan) == {"filtered": 1, "superseded": 1}


def test_an_item_whose_key_never_belonged_here_costs_no_delete():
    mapping = table_mapping(target(when={"pk": {"begins_with": "ORDER#"}}))

    plan = planned(record(1, n=n(1)), mapping=mapping)

    assert plan.rows == 0
    assert plan.dead_letters == ()
    assert outcomes(plan) == {"filtered": 1}


def test_records_before_the_start_instant_are_filtered():
    old = record(1, n=n(1), at=NOON - timedelta(hours=1))

    plan = planned(old, record(2, "b", n=n(2)), skip_before=READ_AT - 60)

    assert plan.writes[0].upserted.rows == [("b", "2")]
    assert outcomes(plan) == {"applied": 1, "filtered": 1}


def test_what_postgresql_refused_becomes_a_dead_letter_with_its_sqlstate():
    plan = planned(record(1, n=n(1)), refused={"public.t": ("too big", "54000")})

    (letter,) = plan.dead_letters
    assert (letter.reason, letter.sqlstate) == ("too big", "54000")
    assert plan.writes[0].upserted.rows == []


def test_equal_number_keys_in_other_spellings_are_one_item():
    mapping = compile_table(TableSpec("t", "t", (target("public.t"),)), SourceKey((("id", "N"),)))
    changes = [
        StreamRecord(
            *numbers_of(i),
            "modify",
            {"id": {"N": text}},
            memoryview(b'{"n":{"N":"%d"}}' % i),
            None,
            0,
        )
        for i, text in enumerate(["1", "1.0", "1e0"])
    ]

    plan = plan_batch(changes, mapping, read_at=READ_AT)

    assert len(plan.writes[0].upserted.rows) == 1


CHANGES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["1", "2", "1.5", None]), st.booleans()),
    max_size=12,
)


def _records(changes: list[tuple[str, str | None, bool]]) -> list[StreamRecord]:
    return [
        record(i, key, expired=expired) if value is None else record(i, key, n=n(value))
        for i, (key, value, expired) in enumerate(changes, start=1)
    ]


def _apply(rows: dict[str, tuple[Any, ...]], plan: WritePlan) -> None:
    (writes,) = plan.writes
    for key in writes.deleted.rows:
        rows.pop(str(key[0]), None)
    for row in writes.upserted.rows:
        rows[str(row[0])] = row
    for name, at in writes.softly_deleted.rows:
        if str(name) in rows:
            rows[str(name)] = (*rows[str(name)][:-1], at)


def _set_aside(letters: set[tuple[str, int, str]], plan: WritePlan) -> None:
    """The open letters after a batch: those of its items are superseded first."""
    items = {key["pk"]["S"] for key in plan.item_keys}
    letters -= {letter for letter in letters if letter[0] in items}
    letters |= {
        (letter.record.keys["pk"]["S"], letter.record.letter_id, letter.target)
        for letter in plan.dead_letters
        if not letter.superseded
    }


@pytest.mark.parametrize("on_delete", ["delete", "soft", "ignore"])
@pytest.mark.parametrize("on_expire", ["delete", "soft", "ignore"])
@pytest.mark.parametrize("when", [None, {"n": {"gt": 1}}])
@given(changes=CHANGES, cuts=st.sets(st.integers(1, 11)))
def test_batch_borders_change_neither_rows_nor_open_letters(
    on_delete, on_expire, when, changes, cuts
):
    own = target(on_delete=on_delete, on_expire=on_expire, when=when)
    mapping = table_mapping(own, unmatched="ignore" if when is None else "dead_letter")
    records = _records(changes)
    borders = [0, *sorted(cut for cut in cuts if cut < len(records)), len(records)]
    whole: dict[str, tuple[Any, ...]] = {}
    pieces: dict[str, tuple[Any, ...]] = {}
    open_then: set[tuple[str, int, str]] = set()
    open_now: set[tuple[str, int, str]] = set()

    plan = plan_batch(records, mapping, read_at=READ_AT)
    _apply(whole, plan)
    _set_aside(open_then, plan)
    for start, end in pairwise(borders):
        plan = plan_batch(records[start:end], mapping, read_at=READ_AT)
        _apply(pieces, plan)
        _set_aside(open_now, plan)

    assert whole == pieces
    assert open_then == open_now


@given(changes=CHANGES)
def test_every_record_has_exactly_one_outcome(changes):
    plan = plan_batch(_records(changes), table_mapping(), read_at=READ_AT)

    assert sum(plan.outcomes.values()) == len(changes)


@given(changes=CHANGES)
def test_no_key_occurs_twice_in_one_plan(changes):
    (writes,) = plan_batch(_records(changes), table_mapping(), read_at=READ_AT).writes

    keys = [
        row[0] for row in (*writes.upserted.rows, *writes.deleted.rows, *writes.softly_deleted.rows)
    ]
    assert len(keys) == len(set(keys))
