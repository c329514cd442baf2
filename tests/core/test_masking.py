"""Personal data is hidden from everything that comes after: rows, rest, history, dead letters."""

import json
from typing import Any

import pytest

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.dead_letter import DeadLetter
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.write_plan import WritePlan
from replicator.core.stream.decoding.dynamodb_records import numbers_of
from replicator.core.stream_record import Image, StreamRecord
from replicator.errors import ConfigurationError
from tests.support.builders import record, table_mapping, target
from tests.support.specs import column_spec

SECRET = "ada@example.org"
SALT = b"0123456789abcdef"


def hidden(*rules: tuple[str, str], **options: Any) -> TableMapping:
    one = target(
        "public.t",
        rest="extra",
        history="public.h",
        **options,
    )
    return table_mapping(one, personal=rules, salt=SALT)


def everything(plan: WritePlan) -> str:
    """All that a plan hands to PostgreSQL."""
    letters = [
        [letter.reason, *(bytes(i or b"").decode() for i in (r.new_image, r.old_image))]
        for letter in plan.dead_letters
        for r in [letter.record]
    ]
    rows = [
        [w.upserted.rows, w.deleted.rows, w.softly_deleted.rows, w.appends] for w in plan.writes
    ]
    return str([rows, letters, plan.item_keys])


def with_old(made: StreamRecord) -> StreamRecord:
    return StreamRecord(
        *numbers_of(made.version),
        made.event,
        made.keys,
        made.new_image,
        made.new_image,
        made.created_at,
    )


@pytest.mark.parametrize("treatment", ["hash", "mask", "drop"])
@pytest.mark.parametrize("n", ["1", "1.5"])
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("email", {"S": SECRET}),
        ("email", {"SS": [SECRET]}),
        ("email", {"M": {"at": {"S": SECRET}}}),
        ("who.email", {"M": {"email": {"S": SECRET}}}),
        ("who[1]", {"L": [{"S": "x"}, {"S": SECRET}]}),
    ],
)
def test_nothing_of_it_is_handed_on(path: str, value: Any, n: str, treatment: str):
    made = with_old(record(1, n={"N": n}, **{path.partition(".")[0].partition("[")[0]: value}))
    plan = plan_batch([made], hidden((path, treatment)), read_at=0)

    assert SECRET in str(bytes(made.new_image or b""))
    assert SECRET not in everything(plan)
    assert bool(plan.dead_letters) == (n == "1.5")


def test_an_image_that_cannot_be_read_leaves_nothing_in_its_dead_letter():
    image = memoryview(json.dumps({"pk": {"S": "a"}, "x": SECRET, "email": SECRET}).encode())
    made = StreamRecord(*numbers_of(1), "modify", {"pk": {"S": "a"}}, image, None, None)

    plan = plan_batch([made], hidden(("email", "mask")), read_at=0)

    assert plan.dead_letters
    assert SECRET not in everything(plan)


def test_equal_values_have_equal_hashes_under_one_salt_and_others_under_another():
    def cells(salt: bytes) -> list[Any]:
        columns = (column_spec("email", "email", "text"),)
        one = target("public.t")
        mapping = table_mapping(
            type(one)("public.t", columns=columns), personal=(("email", "hash"),), salt=salt
        )
        changes = [record(n, f"k{n}", email={"S": SECRET}) for n in (1, 2)]
        changes.append(record(3, "k3", email={"N": "1.0"}))
        changes.append(record(4, "k4", email={"N": "1"}))
        return [row[1] for row in plan_batch(changes, mapping, read_at=0).writes[0].upserted.rows]

    four, three, two, one = cells(SALT)
    assert one == two
    assert three == four != one
    assert cells(b"another one 6789") != [four, three, two, one]


def test_null_stays_null_and_a_path_that_ends_early_hides_nothing():
    mapping = hidden(("who.email", "mask"), ("email", "hash"))
    assert mapping.protection is not None

    image: Image = {"email": {"NULL": True}, "who": {"S": "x"}, "n": {"N": "1"}}
    assert mapping.protection.image(image) == image


def test_a_new_salt_or_rule_changes_the_fingerprint():
    fingerprints = {
        hidden(("email", "hash")).fingerprint,
        hidden(("email", "mask")).fingerprint,
        table_mapping(
            target(), personal=(("email", "hash"),), salt=b"another one 6789"
        ).fingerprint,
        table_mapping(target()).fingerprint,
    }
    assert len(fingerprints) == 4


def test_keys_cannot_be_personal_and_hashes_need_a_salt():
    with pytest.raises(ConfigurationError, match="belongs to the key"):
        hidden(("pk", "mask"))
    with pytest.raises(ConfigurationError, match="no salt"):
        table_mapping(target(), personal=(("email", "hash"),))


def test_a_dead_letter_is_what_it_was_when_nothing_is_personal():
    made = record(1, n={"N": "1.5"})
    [letter] = plan_batch([made], table_mapping(), read_at=0).dead_letters

    assert isinstance(letter, DeadLetter)
    assert letter.record is made


@pytest.mark.parametrize("treatment", ["hash", "mask", "drop"])
def test_a_column_of_its_own_does_not_show_it_either(treatment: str):
    one = type(target())("public.t", columns=(column_spec("email", "email", "text"),))
    mapping = table_mapping(one, personal=(("email", treatment),), salt=SALT)

    plan = plan_batch([record(1, email={"S": SECRET})], mapping, read_at=0)

    assert plan.writes[0].upserted.rows
    assert SECRET not in everything(plan)
