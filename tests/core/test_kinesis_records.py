"""Records of Kinesis Data Streams for DynamoDB, in AWS's exact form."""

import json
from base64 import b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.core.stream.decoding.kinesis_records import (
    Base64,
    decode_kinesis_page,
    decode_kinesis_record,
    decode_kinesis_records,
    listing_of,
)
from replicator.core.stream.order_by_time import micros_of
from replicator.core.stream_record import StreamRecord
from replicator.core.values.dynamodb_json import decode_image
from replicator.errors import UnknownRecord
from tests.support.kinesis_tables import kinesis_data, wire

NOW = 1_789_000_000_123_456
PLACE = "49680690634007655336153759873981588961961802548461436946"
ITEM = {"pk": {"S": "a"}, "n": {"N": "1"}}


def decoded(data: bytes, *, base64: Base64 = "twice", table: str = "orders") -> StreamRecord:
    """A record, which is the same alone and among others."""
    [record] = decode_kinesis_records([data], [PLACE], table=table, base64=base64)
    alone = decode_kinesis_record(data, PLACE, table=table, base64=base64)
    assert told(record) == told(alone)
    return record


def told(record: StreamRecord) -> Any:
    """All that a record tells; images may be in another order."""
    images = [
        None if image is None else in_order(json.loads(bytes(image)))
        for image in (record.old_image, record.new_image)
    ]
    return msgspec.structs.replace(record, old_image=None, new_image=None), images


def in_order(value: Any) -> Any:
    """A value of the wire with its sets sorted."""
    match value:
        case {"BS": list(members)} if len(value) == 1:
            return {"BS": sorted(members)}
        case dict():
            return {name: in_order(member) for name, member in value.items()}
        case list():
            return [in_order(each) for each in value]
        case _:
            return value


def made(old: Any = None, new: Any = ITEM, *, table: str = "orders", **options: Any) -> bytes:
    return kinesis_data(table, old, new, micros=NOW, **options)


def test_a_record_has_its_place_of_56_digits_and_its_time_as_version():
    record = decoded(made())

    assert record.position == int(PLACE)
    assert micros_of(record.version) == NOW
    assert int(record.letter_id) == int(record.version)
    assert record.created_at == pytest.approx(NOW / 1e6)
    assert (record.event, record.keys, record.foreign) == ("insert", {"pk": {"S": "a"}}, False)
    assert record.new_image is not None
    assert decode_image(record.new_image) == ITEM
    assert record.old_image is None


@pytest.mark.parametrize(
    ("precision", "micros"),
    [("MICROSECOND", NOW), ("MILLISECOND", NOW // 1000 * 1000), (None, NOW // 1000 * 1000)],
)
def test_each_record_says_its_own_precision_and_none_is_milliseconds(precision: Any, micros: int):
    assert micros_of(decoded(made(precision=precision)).version) == micros


def test_a_time_in_seconds_is_refused_as_an_emulator_sends_it():
    record = json.loads(made(precision=None))
    record["dynamodb"]["ApproximateCreationDateTime"] = NOW // 10**6

    with pytest.raises(UnknownRecord, match="creation time that is none in the precision"):
        decoded(json.dumps(record).encode())


@pytest.mark.parametrize("base64", ["twice", "once"])
def test_binary_is_decoded_as_often_as_it_is_said_to_be_encoded(base64: Base64):
    raw = b"\x12\x02\x08\x7b"
    item = {
        "pk": {"B": raw},
        "set": {"BS": [raw]},
        "deep": {"L": [{"M": {"B": {"B": raw}}}]},
        "text": {"S": '"B":'},
    }
    record = decoded(made(None, item, base64=base64), base64=base64)

    once = b64encode(raw).decode()
    assert record.keys == {"pk": {"B": once}}
    assert record.new_image is not None
    assert decode_image(record.new_image) == {
        "pk": {"B": once},
        "set": {"BS": [once]},
        "deep": {"L": [{"M": {"B": {"B": once}}}]},
        "text": {"S": '"B":'},
    }


def test_binary_of_aws_is_as_it_was_seen():
    """Bytes 12 02 08 7B arrive as RWdJSWV3PT0=."""
    assert b"RWdJSWV3PT0=" in made(None, {"pk": {"B": b"\x12\x02\x08\x7b"}})


TEXTS = st.lists(
    st.sampled_from(['"', "\\", "B", "BS", ":", "[", "]", "{", " ", '"B":"', '"BS":["', "Ag=="]),
    max_size=5,
).map("".join)
BYTES = st.binary(max_size=4)
VALUES = st.recursive(
    TEXTS.map(lambda text: {"S": text})
    | BYTES.map(lambda raw: {"B": raw})
    | st.lists(BYTES, max_size=3, unique=True).map(lambda raws: {"BS": raws}),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: {"L": each})
        | st.dictionaries(TEXTS, inner, max_size=3).map(lambda each: {"M": each})
    ),
    max_leaves=6,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.sampled_from([None, (",", ":")]))
def test_binary_is_found_whatever_texts_and_names_look_like_it(item: Any, separators: Any):
    item = {"pk": {"S": "a"}, **item}
    record = json.loads(made(item, item))
    data = json.dumps(record, separators=separators).encode()

    found = decoded(data)

    assert found.new_image is not None
    assert in_order(json.loads(bytes(found.new_image))) == in_order(wire(item, "once"))
    assert found.old_image == found.new_image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ('{"b":{"B":"QWc9\\u0050Q=="}}', {"b": {"B": "Ag=="}}),
        ('{"b":{"B":"Q\\u0057c9PQ=="}}', {"b": {"B": "Ag=="}}),
        ('{"b":{"BS":["QVE9PQ==","Q\\u0057c9PQ=="]}}', {"b": {"BS": ["AQ==", "Ag=="]}}),
        ('{"b":{"BS":["QWc9PQ==",5]}}', None),
        ('{"b":{"B":5}}', {"b": {"B": 5}}),
        ('{"b":{"B" : null}}', {"b": {"B": None}}),
    ],
)
def test_binary_of_an_unusual_form_is_never_left_encoded_twice(image: str, expected: Any):
    record = made().replace(
        b'"NewImage": ' + json.dumps(ITEM).encode(), f'"NewImage": {image}'.encode()
    )
    if expected is None:
        with pytest.raises(UnknownRecord, match="not in base64 twice"):
            decoded(record)
        return
    found = decoded(record)

    assert found.new_image is not None
    assert json.loads(bytes(found.new_image)) == expected


def test_binary_that_is_not_encoded_twice_names_the_setting():
    data = made(None, {"pk": {"S": "a"}, "b": {"B": b"\xff"}}, base64="once")

    with pytest.raises(UnknownRecord, match="not in base64 twice") as refused:
        decoded(data)
    assert "kinesis_base64: once" in str(refused.value.remedy)


def test_a_deletion_by_time_to_live_is_told_by_its_identity():
    assert decoded(made(ITEM, None, expired=True)).expired
    assert not decoded(made(ITEM, None)).expired


@pytest.mark.parametrize(
    "data",
    [
        made(table="others"),
        b"\xf3\x89\x9a\xc2 aggregated",
        b"[1]",
        b'{"eventSource": "mine", "tableName": "orders"}',
        b'{"tableName": "orders"}',
    ],
)
def test_what_is_not_the_tables_is_foreign_and_has_a_place(data: bytes):
    record = decoded(data)

    assert (record.foreign, record.position, record.keys) == (True, int(PLACE), {})


def test_a_record_of_another_table_tells_the_time():
    assert decoded(made(table="others")).created_at == pytest.approx(NOW / 1e6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tableName": None}, "of which table"),
        ({"eventName": "UPSERT"}, "unknown event name"),
        ({"dynamodb": {"Keys": {}}}, "not of the known shape"),
    ],
)
def test_what_dynamodb_sends_and_nobody_knows_halts(change: dict[str, Any], told: str):
    data = json.dumps(json.loads(made()) | change).encode()

    with pytest.raises(UnknownRecord, match=told):
        decoded(data)


def test_an_unknown_precision_halts():
    record = json.loads(made())
    record["dynamodb"]["ApproximateCreationDateTimePrecision"] = "NANOSECOND"

    with pytest.raises(UnknownRecord, match="unknown precision 'NANOSECOND'"):
        decoded(json.dumps(record).encode())


def test_a_lone_surrogate_costs_the_record_and_not_the_page():
    record = decoded(made(None, {"pk": {"S": "a"}, "v": {"S": "\ud800"}}))

    assert record.event == "insert"
    assert record.new_image is not None


def compact(data: bytes) -> bytes:
    return json.dumps(json.loads(data), separators=(",", ":")).encode()


BINARY = {"pk": {"S": "a"}, "b": {"B": b"ab"}}
SEVERAL = [
    made(),
    compact(made(ITEM, None, expired=True)),
    compact(made(BINARY, BINARY)),
    made(table="others"),
    json.dumps(json.loads(made()), indent=1).encode(),
    made(None, {"pk": {"S": "a"}, "v": {"S": "\ud800"}}),
    b"\xf3\x89\x9a\xc2 aggregated",
    b"",
    b"\n",
    b'{"eventSource": "mine",',
    b'"tableName": "orders"}',
    b"{}\n{}",
    b"null",
]


@given(st.lists(st.sampled_from(SEVERAL), max_size=6))
def test_records_of_a_page_are_those_that_they_are_alone(data: list[bytes]):
    numbers = [str(int(PLACE) + number) for number in range(len(data))]

    found = decode_kinesis_records(data, numbers, table="orders", base64="twice")

    alone = [
        decode_kinesis_record(one, number, table="orders", base64="twice")
        for one, number in zip(data, numbers, strict=True)
    ]
    assert list(map(told, found)) == list(map(told, alone))


@pytest.mark.parametrize(
    "image", ['"n": {"N": 5}', '"n": {"N": "1", "S": "1"}', '"n": {"X": "1"}', '"n": {}', '"n": 1']
)
def test_what_is_no_item_has_the_version_that_it_has_alone(image: str):
    assert decoded(made().replace(b'"n": {"N": "1"}', image.encode())).new_image is not None


def test_a_page_says_whether_there_is_more_and_which_shards_follow():
    answer = {
        "Records": [{"Data": b64encode(made()).decode(), "SequenceNumber": PLACE}],
        "MillisBehindLatest": 5,
        "ChildShards": [
            {"ShardId": "c", "ParentShards": ["a", "b"], "HashKeyRange": {}},
            {"ShardId": "d", "ParentShards": ["a"], "HashKeyRange": {}},
        ],
    }
    found = decode_kinesis_page(json.dumps(answer).encode(), table="orders", base64="twice")

    assert (len(found.page.records), found.page.behind) == (1, True)
    assert found.page.next_iterator is None
    assert [child.parents for child in found.children] == [("a", "b"), ("a",)]


def test_what_is_no_answer_does_not_end_a_shard():
    with pytest.raises(ValueError, match="Records"):
        decode_kinesis_page(b"{}", table="orders", base64="twice")


def test_a_listing_names_both_parents():
    shards, token = listing_of(
        {
            "Shards": [
                {
                    "ShardId": "c",
                    "ParentShardId": "a",
                    "AdjacentParentShardId": "b",
                    "SequenceNumberRange": {"StartingSequenceNumber": "1"},
                }
            ],
            "NextToken": "more",
        }
    )

    assert (shards[0].parents, shards[0].closed, token) == (("a", "b"), False, "more")
