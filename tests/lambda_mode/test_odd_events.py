"""Events that are not as DynamoDB sends them, through the handler and into PostgreSQL."""

from typing import Any

import pytest

from replicator.errors import UnknownRecord
from tests.support.lambda_events import Record, change, event, put
from tests.support.lambda_function import LambdaTable
from tests.support.lambda_runtime import EVENT_SECONDS
from tests.support.wide import every

ALL_APPLIED: dict[str, list[Any]] = {"batchItemFailures": []}
NUMBER = f"{5:021d}"
EVENT_ID = f"{5:032x}"
LACKING = object()
ODD: list[Any] = [LACKING, None, "", "secret", "-5", "٣", " 7", 0, -1, 1.5, True, [], ["secret"]]
ODD += [{}, {"pk": None}, {"pk": {}}, {"pk": {"S": 1}}, {"pk": {"S": "secret", "N": "1"}}]
ODD += [{"S": "secret"}, {"S": None}, {"N": "secret"}, {"M": {}}, {"": {"S": "secret"}}]
ODD += [
    {"pk": {"S": "secret\0"}},
    {"pk": {"S": ""}},
    {"pk": {"S": "\ud800"}},
    {"\ud800": {"S": ""}},
]
ODD += ["\ud800", "9" * 56, "9" * 60, "9" * 61, "9" * 5000, {"N": "9" * 56}, {"N": "9" * 5000}]
ODD += [1e300, float("inf"), float("nan"), 1_772_366_400_000, "2026-03-01T12:00:00Z"]
MEMBERS = [
    ("eventID",),
    ("eventName",),
    ("userIdentity",),
    ("dynamodb",),
    ("dynamodb", "Keys"),
    ("dynamodb", "Keys", "pk"),
    ("dynamodb", "SequenceNumber"),
    ("dynamodb", "ApproximateCreationDateTime"),
    ("dynamodb", "StreamViewType"),
    ("dynamodb", "OldImage"),
    ("dynamodb", "NewImage"),
    ("dynamodb", "NewImage", "pk"),
    ("dynamodb", "NewImage", "n"),
]


def with_member(path: tuple[str, ...], value: object) -> Record:
    """A usual record, of which one member is another or lacking."""
    record = put(5, "odd")
    *way, last = path
    inner = record
    for name in way:
        inner = inner[name]
    if value is LACKING:
        inner.pop(last, None)
    else:
        inner[last] = value
    return record


@pytest.mark.parametrize("path", every(2, of=MEMBERS), ids=".".join)
def test_an_odd_member_is_applied_or_set_aside_or_names_its_record(
    table: LambdaTable, path: tuple[str, ...]
):
    clear = {}
    with table.function() as function:
        for place, value in enumerate(ODD):
            before, after = f"before {place}", f"after {place}"
            records = put(3, before), with_member(path, value), put(7, after)
            try:
                answer = function.handle(event(*records), seconds_left=EVENT_SECONDS)
            except UnknownRecord as error:
                clear[place] = str(error)
                answer = function.handle(event(records[0], records[2]), seconds_left=EVENT_SECONDS)
            assert answer == ALL_APPLIED, (path, value)

    rows = table.rows()
    assert {
        f"{where} {place}" for place in range(len(ODD)) for where in ("before", "after")
    } <= set(rows)
    for place, words in clear.items():
        assert NUMBER in words or EVENT_ID in words or "record 2" in words, (ODD[place], words)
        assert path[0] != "dynamodb" or "secret" not in words
        assert len(words) < 500


@pytest.mark.parametrize("number", ["4" * 40, "9" * 56, "9" * 60])
def test_a_sequence_number_of_many_digits_orders_changes_and_names_their_letters(
    table: LambdaTable, number: str
):
    older = str(int(number) - 1)

    def numbered(record: Record, number: str) -> Record:
        return {**record, "dynamodb": {**record["dynamodb"], "SequenceNumber": number}}

    with table.function() as function:
        for record in (
            numbered(put(1), number),
            numbered(put(2), older),
            numbered(change(3, "b", n={"S": "no number"}), number),
            numbered(change(4, "b", n={"S": "no number"}), older),
        ):
            assert function.handle(event(record), seconds_left=EVENT_SECONDS) == ALL_APPLIED

    assert table.rows() == {"a": 1}
    letters = table.fetch("select sequence_number::text from replicator.dead_letter")
    assert number in {each["sequence_number"] for each in letters}
