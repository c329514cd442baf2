"""Records that are not as DynamoDB sends them: a clear error that names them, or no loss."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from replicator.core.stream.decoding.dynamodb_records import decode_event, decode_page
from replicator.errors import UnknownRecord

NUMBER = "4" * 40
DECODERS: dict[str, Callable[[list[Any]], Any]] = {
    "page": lambda records: decode_page(json.dumps({"Records": records}).encode()).records,
    "event": lambda records: decode_event(json.dumps(records).encode()),
}
every_decoder = pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)


def record(**different: Any) -> dict[str, Any]:
    change = {
        "Keys": {"pk": {"S": "secret"}},
        "SequenceNumber": NUMBER,
        "NewImage": {"pk": {"S": "secret"}},
        "ApproximateCreationDateTime": 1_764_000_000,
        **different,
    }
    return {"eventID": "event-7", "eventName": "INSERT", "dynamodb": change}


def without(change: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in change.items() if key != name}


@every_decoder
@pytest.mark.parametrize("number", ["", "abc", "-1", "1_0", " 1", "\u0661", "1" * 5000])
def test_a_record_without_a_usable_sequence_number_is_named_by_its_event(
    decode: Callable[[list[Any]], Any], number: str
):
    with pytest.raises(UnknownRecord, match="event-7") as refused:
        decode([record(), record(SequenceNumber=number)])

    assert "secret" not in str(refused.value)


@every_decoder
@pytest.mark.parametrize(
    ("odd", "named"),
    [
        (record(Keys=None), NUMBER),
        (record(SequenceNumber=None), "event-7"),
        (record(SequenceNumber=5), "event-7"),
        (without(record(), "eventName"), NUMBER),
        (without(record(), "dynamodb"), "event-7"),
        (record() | {"dynamodb": without(record()["dynamodb"], "Keys")}, NUMBER),
        (record() | {"dynamodb": without(record()["dynamodb"], "SequenceNumber")}, "event-7"),
        (record(Keys="\ud800"), NUMBER),
        (record(Keys={"pk": {"S": ["\ud800"]}}), NUMBER),
        (record() | {"userIdentity": "\ud800"}, NUMBER),
        (record() | {"eventName": "x" * 5000}, NUMBER),
        (record(NewImage=["secret"]), NUMBER),
        (record(OldImage="secret"), NUMBER),
        ({}, "record 2 of the page"),
        (None, "record 2 of the page"),
    ],
)
def test_a_record_that_lacks_a_member_is_named(
    decode: Callable[[list[Any]], Any], odd: Any, named: str
):
    with pytest.raises(UnknownRecord, match=named) as refused:
        decode([record(), odd])

    assert "secret" not in str(refused.value)


@every_decoder
@pytest.mark.parametrize(
    "created", [1_764_000_000_000, 1_764_000_000_000_000, "2026-01-01T00:00:00Z", -1, None]
)
def test_a_creation_time_in_another_unit_or_form_counts_as_absent(
    decode: Callable[[list[Any]], Any], created: Any
):
    (found,) = decode([record(ApproximateCreationDateTime=created)])

    assert found.created_at is None


@every_decoder
def test_a_sequence_number_of_60_digits_is_kept_and_no_longer_one(
    decode: Callable[[list[Any]], Any],
):
    (found,) = decode([record(SequenceNumber="9" * 60)])

    assert found.position == int("9" * 60)
    with pytest.raises(UnknownRecord, match="event-7"):
        decode([record(SequenceNumber="9" * 61)])
