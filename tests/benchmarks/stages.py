"""The worker's steps apart, those of botocore and boto3 beside them: CPU of one process."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from botocore.parsers import create_parser
from botocore.session import get_session

from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.stream.decoding.dynamodb_records import decode_page
from replicator.core.table_spec import SourceKey, TableSpec, TargetSpec
from tests.benchmarks.forms import TARGET, Form
from tests.benchmarks.orders import COLUMNS
from tests.benchmarks.samples import Sample
from tests.support.specs import column_spec

Step = Callable[[], object]
READ_AT = 1_760_000_000.0
SOURCE_KEY = SourceKey((("pk", "S"), ("sk", "S")))


def mapping_of(form: Form) -> TableMapping:
    """The form, compiled."""
    columns = None
    if form.columns is not None:
        columns = tuple(column_spec(name, name, COLUMNS[name]) for name in form.columns)
    target = TargetSpec(TARGET, columns=columns, rest=form.rest)
    return compile_table(TableSpec("orders", "orders", (target,)), SOURCE_KEY)


def steps(pages: Sequence[bytes], mapping: TableMapping) -> dict[str, Step]:
    """By name, what is done with all pages of a load; each step begins anew."""
    bodies = [b'{"NextShardIterator":"x","Records":' + page + b"}" for page in pages]
    decoded = [decode_page(body).records for body in bodies]

    def decode() -> None:
        for body in bodies:
            decode_page(body)

    def plan() -> None:
        for records in decoded:
            plan_batch(records, mapping, read_at=READ_AT)

    def decode_and_plan() -> None:
        for body in bodies:
            plan_batch(decode_page(body).records, mapping, read_at=READ_AT)

    return {
        "worker: decode": decode,
        "worker: plan and map": plan,
        "worker: decode, plan and map": decode_and_plan,
        "botocore: parse": lambda: list(_parse(bodies)),
        "botocore and TypeDeserializer": partial(_deserialize, bodies),
    }


def _parse(bodies: Sequence[bytes]) -> Iterator[list[dict[str, Any]]]:
    model = get_session().get_service_model("dynamodbstreams")
    shape = model.operation_model("GetRecords").output_shape
    assert shape is not None
    parser = create_parser("json")
    for body in bodies:
        yield parser.parse({"body": body, "headers": {}, "status_code": 200}, shape)["Records"]


def _deserialize(bodies: Sequence[bytes]) -> None:
    deserialize = TypeDeserializer().deserialize
    for records in _parse(bodies):
        for record in records:
            image = record["dynamodb"].get("NewImage", {})
            {name: deserialize(value) for name, value in image.items()}


def measure(step: Step, records: int) -> Sample:
    """One turn of a step."""
    started, used = time.perf_counter(), time.process_time()
    step()
    used = time.process_time() - used
    return Sample(records, time.perf_counter() - started, client_seconds=used)
