"""A history holds every change of its items, in order, whatever becomes of their rows."""

import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.core.planning import history_rows
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.write_plan import WritePlan
from replicator.core.stream.decoding.dynamodb_records import numbers_of
from replicator.core.stream_record import StreamRecord
from replicator.errors import RejectionHalts
from tests.support.builders import NOON, record, table_mapping, target
from tests.support.random_items import NUMBERS, STRINGS
from tests.support.wide import examples

HISTORY = "public.t_history"
OPEN, SHUT = {"S": "open"}, {"S": "shut"}
TEXTS = st.sampled_from([*STRINGS, "\0"])
SCALARS = st.one_of(
    st.fixed_dictionaries({"S": TEXTS}),
    st.fixed_dictionaries({"N": st.sampled_from(NUMBERS)}),
    st.fixed_dictionaries({"NS": st.lists(st.sampled_from(NUMBERS), max_size=2)}),
    st.sampled_from([{"B": "AAE="}, {"BOOL": True}, {"NULL": True}, {"SS": ["b", "a"]}, {}]),
    st.sampled_from([{"S": 1}, {"X": "a"}, {"S": "a", "N": "1"}, {"M": {"a": "b"}}]),
)
VALUES = SCALARS | st.fixed_dictionaries({"M": st.dictionaries(st.sampled_from("abM"), SCALARS)})


def plan(*records: StreamRecord, refused: Any = None, **options: Any) -> WritePlan:
    mapping = table_mapping(target(history=HISTORY, **options))
    return plan_batch(records, mapping, read_at=0, refused=refused)


def numbers(found: WritePlan) -> list[str | bytes | None]:
    return [row[0] for row in found.writes[0].appends]


def after(old: dict[str, Any], made: StreamRecord) -> StreamRecord:
    """The record with an old image."""
    image = json.dumps({**made.keys, **old}).encode()
    return StreamRecord(
        *numbers_of(made.version),
        made.event,
        made.keys,
        made.new_image,
        memoryview(image),
        made.created_at,
    )


@given(data=st.data())
@settings(max_examples=examples(200), deadline=None)
@pytest.mark.parametrize("personal", [(), (("a", "hash"), ("b.M", "drop"))], ids=["open", "hidden"])
def test_an_entry_made_beside_others_is_the_one_made_by_itself(personal, data):
    """Entries of a batch are made together; one that is not as usual is decoded and made alone."""
    images = st.none() | st.dictionaries(st.sampled_from("abpk"), VALUES, max_size=3)
    usual: list[Any] = [{"pk": {"S": "a"}}, {"pk": {"S": "%s"}}]
    keys = st.sampled_from([*usual, {"pk": {"S": "\0"}}, {"pk": {"N": "1.0"}}, {"pk": {}}, {}])
    drawn = data.draw(st.lists(st.tuples(keys, images, images), max_size=4))
    records = [
        StreamRecord(*numbers_of(number), "modify", key, raw(new), raw(old), None)
        for number, (key, new, old) in enumerate(drawn, 1)
    ]
    one = target(history=HISTORY)
    mapping = table_mapping(one, personal=personal, salt=b"0123456789abcdef")

    together = plan_batch(records, mapping, read_at=0)
    alone = [plan_batch([each], mapping, read_at=0) for each in records]
    with patch.object(history_rows, "_usual_rows", lambda state: [None] * len(state.keys)):
        decoded = plan_batch(records, mapping, read_at=0)

    assert together.writes[0].appends == decoded.writes[0].appends
    assert together.writes[0].appends == [row for each in alone for row in each.writes[0].appends]
    assert [letter.reason for letter in together.dead_letters] == [
        letter.reason for letter in decoded.dead_letters
    ]


@pytest.mark.parametrize(
    ("other", "alone"),
    [
        ({"pk": {"S": "\0"}, "sk": {"S": "b"}}, 1),
        ({"pk": {"S": "a"}, "sk": {"S": "\ud800"}}, 1),
        ({"pk": {"S": "a"}, "sk": {}}, 1),
        ({"sk": {"S": "b"}, "pk": {"S": "a"}}, 0),
        ({"pk": {"S": "a"}}, 0),
        ({}, 0),
    ],
)
def test_a_key_that_is_not_as_the_others_leaves_the_entries_beside_it_usual(
    other: dict[str, Any], alone: int
):
    usual = {"pk": {"S": "a"}, "sk": {"S": "b"}}
    records = [
        StreamRecord(*numbers_of(number), "remove", key, None, None, None)
        for number, key in enumerate((usual, other, usual), 1)
    ]
    mapping = table_mapping(target(history=HISTORY), key=(("pk", "S"), ("sk", "S")))
    with patch.object(history_rows, "_row", wraps=history_rows._row) as one:
        plan_batch(records, mapping, read_at=0)

    assert [call.args[1].version for call in one.call_args_list] == [2] * alone


def raw(image: dict[str, Any] | None) -> memoryview | None:
    return None if image is None else memoryview(json.dumps(image, separators=(",", ":")).encode())


def test_changes_without_a_key_are_set_aside_and_those_beside_them_written():
    nameless = [StreamRecord(*numbers_of(n), "modify", {}, raw({}), None, None) for n in (1, 2)]

    alone, beside = plan(*nameless), plan(*nameless, record(3, n={"N": "3"}))

    assert [letter.target for letter in alone.dead_letters] == ["public.t", "public.t"]
    assert numbers(alone) == ["1", "2"]
    assert numbers(beside) == ["1", "2", "3"]
    assert beside.writes[0].upserted.rows == [("a", "3")]


def test_changes_that_one_row_supersedes_are_all_in_the_history():
    found = plan(record(1, n={"N": "1"}), record(2, n={"N": "2"}), record(3))

    assert found.writes[0].deleted.rows == [("a",)]
    assert found.writes[0].appends == [
        ("1", "modify", NOON.isoformat(), '{"pk":"a"}', '{"pk":"a","n":1}', None),
        ("2", "modify", NOON.isoformat(), '{"pk":"a"}', '{"pk":"a","n":2}', None),
        ("3", "remove", NOON.isoformat(), '{"pk":"a"}', None, None),
    ]
    assert found.outcomes == {("modify", "applied"): 2, ("remove", "applied"): 1}


def test_a_change_that_does_not_fit_the_row_is_in_the_history_all_the_same():
    found = plan(record(1, n={"N": "1.5"}))

    assert numbers(found) == ["1"]
    assert [letter.target for letter in found.dead_letters] == ["public.t"]


def test_a_change_that_jsonb_cannot_hold_is_a_dead_letter_of_the_history_alone():
    found = plan(record(1, n={"N": "1"}, note={"S": "a\0b"}), record(2, n={"N": "2"}))

    [letter] = found.dead_letters
    assert (letter.target, letter.of_history, letter.superseded) == (HISTORY, True, False)
    assert letter.reason.startswith("attribute 'note', column 'new_image': holds a NUL")
    assert numbers(found) == ["2"]
    assert found.writes[0].upserted.rows == [("a", "2")]


def test_what_postgresql_refuses_of_a_history_is_set_aside_for_it_alone():
    found = plan(record(1, n={"N": "1"}), refused={HISTORY: ("refused", "23514")})

    assert numbers(found) == []
    assert [(letter.target, letter.sqlstate) for letter in found.dead_letters] == [
        (HISTORY, "23514")
    ]
    assert found.writes[0].upserted.rows == [("a", "1")]


def test_a_history_that_halts_stops_the_table():
    with pytest.raises(RejectionHalts, match=r"record 1 does not fit public\.t_history"):
        plan(record(1, note={"S": "\0"}), on_error="halt")


def test_a_filtered_history_holds_what_belonged_before_or_after_the_change():
    found = plan(
        after({"state": SHUT}, record(1, state=OPEN)),
        after({"state": OPEN}, record(2, state=SHUT)),
        after({"state": SHUT}, record(3, "b", state=SHUT)),
        after({"state": OPEN}, record(4)),
        after({"state": SHUT}, record(5)),
        record(6, "c", event="insert", state=SHUT),
        when={"state": "open"},
    )

    assert numbers(found) == ["1", "2", "4"]


def test_without_old_images_a_filtered_history_holds_what_may_have_belonged():
    found = plan(
        record(1, "b", event="insert", state=SHUT),
        record(2, state=SHUT),
        record(3),
        when={"state": "open"},
    )

    assert numbers(found) == ["2", "3"]


def test_a_history_whose_filter_looks_at_keys_needs_no_image():
    found = plan(record(1, "a1"), record(2, "b1"), when={"pk": {"begins_with": "a"}})

    assert numbers(found) == ["1"]


def test_records_before_the_start_are_not_in_the_history():
    mapping = table_mapping(target(history=HISTORY))
    early = record(1, n={"N": "1"}, at=NOON.replace(hour=1))
    found = plan_batch(
        [early, record(2, n={"N": "2"})],
        mapping,
        read_at=0,
        skip_before=NOON.timestamp(),
    )

    assert numbers(found) == ["2"]


def test_a_change_without_a_creation_time_says_none():
    found = plan(record(1, at=None, n={"N": "1"}))

    assert found.writes[0].appends[0][2] is None
