"""Bytes that no DynamoDB should send, to every decoder: each ends in a record, a dead letter, or a
named error, and never in another exception.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from replicator.core.mapping.compile_mapping import compile_table
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.plan_snapshot_page import plan_changes, plan_page, records_of_page
from replicator.core.planning.write_plan import WritePlan
from replicator.core.snapshot.export_lines import changes_of_lines, items_of_lines
from replicator.core.snapshot.export_manifest import read_files, read_summary, require_fit
from replicator.core.snapshot.export_windows import MARGIN, in_utc
from replicator.core.snapshot.scan_responses import decode_found, decode_scan
from replicator.core.stream.decoding.dynamodb_records import decode_event, decode_page
from replicator.core.stream.decoding.kinesis_records import (
    decode_kinesis_page,
    decode_kinesis_record,
)
from replicator.core.stream_record import StreamRecord
from replicator.core.table_spec import SourceKey, TableSpec, TargetSpec
from replicator.errors import ExportUnfit, ReplicatorError, UnknownRecord, ValueRejected
from replicator.sources.lambda_events.event import batches_of
from tests.core.test_exports import FULL, NOON, TABLE, record, summary

KEY = SourceKey((("pk", "S"),))
MAPPING = compile_table(
    TableSpec(
        "orders",
        "orders",
        (TargetSpec("public.orders", history="public.changes", on_delete="soft"),),
        expire_attribute="ttl",
    ),
    KEY,
)
TIME = b"1789000000"
KINESIS = "arn:aws:kinesis:eu-west-1:123456789012:stream/changes"
STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
GOOD = b'{"pk":{"S":"good"},"v":{"S":"x"}}'
SURROGATE = rb'{"S":"\ud83d"}'


def stream_record(key: bytes, image: bytes, time: bytes) -> bytes:
    return (
        b'{"eventName":"MODIFY","eventSource":"aws:dynamodb","eventSourceARN":"%s",'
        b'"dynamodb":{"SequenceNumber":"1","ApproximateCreationDateTime":%s,"Keys":{"pk":%s},'
        b'"OldImage":%s,"NewImage":%s}}'
    ) % (STREAM.encode(), time, key, image, image)


def kinesis_record(key: bytes, image: bytes, time: bytes) -> bytes:
    return (
        b'{"eventName":"MODIFY","tableName":"orders","dynamodb":{'
        b'"ApproximateCreationDateTime":%s000000,'
        b'"ApproximateCreationDateTimePrecision":"MICROSECOND","Keys":{"pk":%s},'
        b'"OldImage":%s,"NewImage":%s},"eventSource":"aws:dynamodb"}'
    ) % (time, key, image, image)


def enveloped(*data: bytes) -> bytes:
    records = [
        {"Data": b64encode(each).decode(), "SequenceNumber": str(number)}
        for number, each in enumerate(data, 1)
    ]
    return json.dumps({"Records": records, "MillisBehindLatest": 0}).encode()


def delivered(data: bytes) -> dict[str, Any]:
    told = {"data": b64encode(data).decode(), "sequenceNumber": "1"}
    source = {"eventSource": "aws:kinesis", "eventSourceARN": KINESIS}
    return {"Records": [{"kinesis": told, **source}]}


def change_line(key: bytes, image: bytes, time: bytes) -> bytes:
    return (
        b'{"Metadata":{"WriteTimestampMicros":{"N":"%s000000"}},"Keys":{"pk":%s},'
        b'"OldImage":%s,"NewImage":%s}'
    ) % (time, key, image, image)


def planned(records: list[StreamRecord]) -> WritePlan:
    return plan_batch(records, MAPPING, read_at=1.0)


def loaded(images: list[memoryview]) -> WritePlan:
    return plan_page(records_of_page(images, KEY), MAPPING, read_at=1.0)


def in_function(event: object) -> None:
    for batch in batches_of(event, {KINESIS: {"orders": "twice"}}):
        if batch.unknown is not None:
            raise batch.unknown
        planned(list(batch.records))


def of_lambda(body: bytes) -> None:
    """An event that Lambda's own runtime could hand over."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return
    in_function(event)


@dataclass(frozen=True)
class Way:
    """A way for bytes to come in; `answers`: ValueError says that it is no answer of AWS."""

    frame: Callable[[bytes, bytes, bytes], bytes]
    read: Callable[[bytes], object]
    answers: bool = False


WAYS = {
    "GetRecords": Way(
        lambda *told: b'{"Records":[%s]}' % stream_record(*told),
        lambda body: planned(decode_page(body).records),
        answers=True,
    ),
    "event": Way(
        lambda *told: b"[%s]" % stream_record(*told), lambda body: planned(decode_event(body))
    ),
    "Lambda": Way(lambda *told: b'{"Records":[%s]}' % stream_record(*told), of_lambda),
    "Kinesis": Way(
        kinesis_record,
        lambda body: planned(
            decode_kinesis_page(enveloped(body), table="orders", base64="twice").page.records
        ),
    ),
    "Kinesis answer": Way(
        lambda *told: enveloped(kinesis_record(*told)),
        lambda body: planned(decode_kinesis_page(body, table="orders", base64="once").page.records),
        answers=True,
    ),
    "Lambda of Kinesis": Way(kinesis_record, lambda body: in_function(delivered(body))),
    "Scan": Way(
        lambda _, image, __: b'{"Items":[%s,%s]}' % (GOOD, image),
        lambda body: loaded(decode_scan(body).images),
        answers=True,
    ),
    "Scan's last key": Way(
        lambda key, _, __: b'{"Items":[],"LastEvaluatedKey":{"pk":%s}}' % key,
        lambda body: loaded(decode_scan(body).images),
        answers=True,
    ),
    "BatchGetItem": Way(
        lambda key, image, _: (
            (b'{"Responses":{"orders":[%s,%s]},"UnprocessedKeys":{"orders":{"Keys":[{"pk":%s}]}}}')
            % (GOOD, image, key)
        ),
        lambda body: loaded(decode_found(body).images),
        answers=True,
    ),
    "export": Way(
        lambda _, image, __: b'{"Item":%s}' % image,
        lambda body: loaded(items_of_lines([b'{"Item":%s}' % GOOD, body])),
    ),
    "incremental export": Way(
        change_line,
        lambda body: plan_changes(
            changes_of_lines([change_line(b'{"S":"good"}', GOOD, TIME), body]),
            MAPPING,
            read_at=1.0,
        ),
    ),
}
ANY_NUMBER = b"9" * 5000


def nested(levels: int, value: bytes = b'{"S":"x"}') -> bytes:
    return b'{"L":[' * levels + value + b"]}" * levels


DEPTHS = {f"{levels} lists": nested(levels) for levels in (30, 150, 240, 300, 450, 480, 900, 9000)}
ODD_VALUES = {
    "lone surrogate": SURROGATE,
    "two of one half": rb'{"S":"\ud83d\ud83d"}',
    "surrogate in UTF-8": b'{"S":"\xed\xa0\xbd"}',
    "no UTF-8": b'{"S":"\xff"}',
    "control character": b'{"S":"\x01"}',
    "NUL": rb'{"S":"\u0000"}',
    "no type": b'"y"',
    "no type, a surrogate": rb'"\ud800"',
    "unknown type": b'{"Q":"y"}',
    "no number": b'{"N":"y"}',
    "JSON's number": b'{"N":1}',
    "no JSON's number": b'{"N":NaN}',
    "a number of thousands of digits": b'{"N":%s}' % ANY_NUMBER,
    "a text of thousands of digits": b'{"N":"%s"}' % ANY_NUMBER,
    "huge exponent": b'{"N":1e400}',
    "no binary": b'{"B":"!"}',
    "binary once": b'{"B":"a2V5"}',
    "a list for a binary": b'{"B":["a"]}',
    "an odd set": rb'{"BS":["\/w=="]}',
    "no list": b'{"L":1}',
    "no map": b'{"M":[]}',
    "nothing": b"{}",
    "null": b"null",
    "true": b"true",
    "list": b"[]",
    "two types": b'{"S":"a","N":"1"}',
} | DEPTHS
ODD_VALUES |= {
    f"surrogate, {name}": b'{"M":{"s":%s,"v":%s}}' % (SURROGATE, deep)
    for name, deep in DEPTHS.items()
}
ODD_VALUES |= {
    f"odd set, {name}": b'{"M":{"s":{"BS":["\\/w=="]},"v":%s}}' % ODD_VALUES[name]
    for name in ("no UTF-8", "surrogate in UTF-8", "a number of thousands of digits")
}
ODD_VALUES |= {
    f"odd set, {name}": b'{"M":{"s":{"BS":["\\/w=="]},"v":%s}}' % deep
    for name, deep in DEPTHS.items()
}
TIMES = [b"-1", b"0", b"9" * 12, b"9" * 17, b"9" * 20, b"9" * 330, ANY_NUMBER, b"1e400", b"null"]
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "no JSON": lambda _: b"hello",
    "null": lambda _: b"null",
    "number": lambda _: b"1",
    "list": lambda _: b"[]",
    "lists": lambda _: b"[" * 9000 + b"]" * 9000,
    "objects": lambda _: b'{"a":' * 990 + b"1" + b"}" * 990,
    "more objects": lambda _: b'{"a":' * 9000 + b"1" + b"}" * 9000,
    "cut": lambda body: body[:-30],
    "cut early": lambda body: body[:20],
    "no beginning": lambda body: body[20:],
    "trailing NUL": lambda body: body + b"\0",
    "trailing newline": lambda body: body + b"\n",
    "twice": lambda body: body * 2,
    "UTF-16": lambda body: body.decode("ascii").encode("utf-16"),
    "byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "another member": lambda body: b'{"z":%s,' % nested(900) + body[1:],
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def ends_well(way: Way, body: bytes) -> None:
    """Anything but the named errors is raised."""
    try:
        way.read(body)
    except ValueRejected:
        raise AssertionError("rejected outside planning: the page never passes") from None
    except ReplicatorError:
        pass
    except ValueError:
        assert way.answers


@every_way
@pytest.mark.parametrize("value", ODD_VALUES.values(), ids=ODD_VALUES)
def test_an_odd_value_of_an_item_ends_in_a_record_a_dead_letter_or_a_named_error(
    way: Way, value: bytes
):
    ends_well(way, way.frame(b'{"S":"a"}', b'{"pk":{"S":"a"},"v":%s}' % value, TIME))
    ends_well(way, way.frame(b'{"S":"a"}', value, TIME))
    ends_well(way, way.frame(value, b'{"pk":%s}' % value, TIME))


@every_way
@pytest.mark.parametrize("time", TIMES, ids=lambda time: f"{time[:12].decode()} of {len(time)}")
def test_an_odd_time_ends_in_a_record_or_a_named_error(way: Way, time: bytes):
    ends_well(way, way.frame(b'{"S":"a"}', GOOD, time))


@every_way
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_text_ends_in_a_record_or_a_named_error(way: Way, damage: Callable[[bytes], bytes]):
    ends_well(way, damage(way.frame(b'{"S":"a"}', GOOD, TIME)))


@pytest.mark.parametrize("name", ["Scan", "BatchGetItem", "export", "incremental export"])
@pytest.mark.parametrize("value", [SURROGATE, b'"y"'], ids=["lone surrogate", "no type"])
def test_an_item_that_no_row_can_hold_is_one_dead_letter_and_the_others_are_written(
    name: str, value: bytes
):
    way = WAYS[name]
    body = way.frame(b'{"S":"a"}', b'{"pk":{"S":"a"},"v":%s}' % value, TIME)
    plan = way.read(body)

    assert isinstance(plan, WritePlan)
    [letter] = [each for each in plan.dead_letters if not each.of_history]
    assert letter.record.keys == {"pk": {"S": "a"}}
    assert [row[0] for row in plan.writes[0].upserted.rows] == ["good"]


def test_a_scan_with_a_lone_surrogate_goes_on_where_it_ended():
    page = decode_scan(
        rb'{"Items":[{"pk":{"S":"\ud83d"}}],"LastEvaluatedKey":{"pk":{"S":"\ud83d"}}}'
    )

    assert page.last_key == r'{"pk": {"S": "\ud83d"}}'


KINESIS_DATA = kinesis_record(b'{"S":"a"}', GOOD, TIME)


@pytest.mark.parametrize(
    "data",
    [
        KINESIS_DATA[:-30],
        KINESIS_DATA[:-1],
        KINESIS_DATA.replace(b'"x"', b'"\x01"'),
        KINESIS_DATA.replace(b'"x"', b'"\xff"').replace(b'"MODIFY"', rb'"\ud800"'),
        KINESIS_DATA + b"\0",
        KINESIS_DATA * 2,
        KINESIS_DATA.replace(b'"x"}', rb'"\ud800"},"w":%s' % nested(600)),
        KINESIS_DATA.replace(TIME, ANY_NUMBER),
    ],
    ids=["cut", "open", "control", "no UTF-8", "NUL", "twice", "nested", "digits"],
)
def test_a_damaged_record_of_dynamodb_in_kinesis_is_never_taken_for_another_producers(data: bytes):
    with pytest.raises(UnknownRecord):
        decode_kinesis_record(data, "1", table="orders", base64="twice")


@pytest.mark.parametrize("data", [b'{"a":' * 990 + b"1" + b"}" * 990, b"hello", b'{"a":\x01}'])
def test_whatever_another_producer_puts_into_a_kinesis_stream_is_filtered(data: bytes):
    page = decode_kinesis_page(enveloped(data, KINESIS_DATA), table="orders", base64="twice").page

    assert [found.foreign for found in page.records] == [True, False]


def test_a_table_whose_record_nobody_understands_does_not_keep_another_from_its_own():
    bad = KINESIS_DATA.replace(b'"orders"', b'"items"').replace(TIME, b"1")
    event = {"Records": [*delivered(KINESIS_DATA)["Records"], *delivered(bad)["Records"]]}
    items, orders = batches_of(event, {KINESIS: {"items": "twice", "orders": "twice"}})

    assert (items.unknown is not None, items.records, len(items.identifiers)) == (True, (), 2)
    assert orders.unknown is None
    assert [found.foreign for found in orders.records] == [False, True]


ODD_MANIFESTS: dict[str, list[Any]] = {
    "exportTime": ["2026-11-29T12:00:00", "x", 1, "9" * 5000],
    "itemCount": [-5, 1e400, "5", None],
    "exportFromTime": ["2026-11-28T12:00:00"],
    "exportToTime": ["2026-11-29T12:00:00"],
    "s3Prefix": ["\ud800"],
    "exportArn": ["\ud800", None],
    "tableArn": ["\ud800"],
}


@pytest.mark.parametrize(
    "body",
    [
        *(summary(**{name: value}) for name, values in ODD_MANIFESTS.items() for value in values),
        *(damage(summary()) for damage in DAMAGE.values()),
    ],
)
def test_an_odd_summary_is_one_or_an_unfit_export(body: bytes):
    try:
        found = read_summary(body)
        require_fit(found, record(None, None), NOON - MARGIN, TABLE)
    except ExportUnfit:
        return
    assert in_utc(found.at) == FULL["exportTime"]


def listed(key: str, items: object) -> bytes:
    return json.dumps({"itemCount": items, "md5Checksum": "", "dataFileS3Key": key}).encode()


@pytest.mark.parametrize(
    "body",
    [
        listed("a", 5) + listed("a", 0),
        b"\n".join([listed("a", 2), listed("a", 3)]),
        b"\n".join([listed("a", -5), listed("b", 10)]),
        listed("a", 5)[:-1] + b',"z":' + nested(9000) + b"}",
        listed("a", int("9" * 30)),
        b'{"itemCount":%s,"md5Checksum":"","dataFileS3Key":"a"}' % ANY_NUMBER,
        listed("\ud800", 5),
    ],
)
def test_a_list_of_files_with_an_odd_entry_is_no_list(body: bytes):
    with pytest.raises(ExportUnfit):
        read_files(body, read_summary(summary()))
