"""The peers: what everyone writes with boto3 and TypeDeserializer, row by row and in bulk, and what
a good engineer writes without them: COPY into a staging table, and two statements.

As a Lambda handler: `usual.py DSN TABLE row|bulk|copy RECORDS_PER_EVENT FILE…`, with files of
pages. As a loop around boto3's GetRecords: `usual.py DSN TABLE poll ENDPOINT STREAM_ARN SHARD
RECORDS`. Both print how long they took and how much CPU.
"""

import json
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import psycopg
from boto3.dynamodb.types import Binary, TypeDeserializer
from psycopg.types.json import Jsonb

ORDERS = (
    *("pk", "sk", "total", "quantity", "discount", "status", "customer", "address"),
    *("paid", "placed", "meta", "tags", "signature", "note"),
)
ARTICLES = (
    *("pk", "sk", "name", "code", "price", "stock", "weight", "active", "released", "colours"),
    *("sizes", "seals", "thumbnail", "details", "offers", "remark"),
)
DOCUMENT = ("pk", "sk", "data")
DELETE = "delete from orders where pk = %s and sk = %s"
STAGES = """
create temp table put (like orders) on commit delete rows;
create temp table gone (pk text, sk text) on commit delete rows
"""
COPY_GONE = "copy gone (pk, sk) from stdin"
DELETE_STAGED = "delete from orders as t using gone where (t.pk, t.sk) = (gone.pk, gone.sk)"
_deserialize = TypeDeserializer().deserialize
_Image = dict[str, dict[str, Any]]


class Table:
    """What is written for one table: statements, a row by TypeDeserializer, and a row for COPY.

    `with_bytes` decodes an image's binaries in place, without which TypeDeserializer fails.
    """

    def __init__(
        self,
        columns: tuple[str, ...],
        row: Callable[[_Image], list[Any]],
        texts: Callable[[_Image], list[Any]],
        with_bytes: Callable[[_Image], None],
    ) -> None:
        self.row = row
        self.texts = texts
        self.with_bytes = with_bytes
        names = ", ".join(columns)
        given = ", ".join(f"{name} = excluded.{name}" for name in columns[2:])
        update = f"on conflict (pk, sk) do update set {given}"
        values = ", ".join(["%s"] * len(columns))
        self.upsert = f"insert into orders ({names}) values ({values}) {update}"
        self.copy = f"copy put ({names}) from stdin"
        self.upsert_staged = f"insert into orders ({names}) select {names} from put {update}"


def handle_rows(event: dict[str, Any], connection: psycopg.Connection, table: Table) -> None:
    """One statement for each record, one transaction for the event."""
    for record in event["Records"]:
        change = record["dynamodb"]
        if record["eventName"] == "REMOVE":
            keys = _plain(change["Keys"])
            connection.execute(DELETE, (keys["pk"], keys["sk"]))
        else:
            connection.execute(table.upsert, table.row(change["NewImage"]))
    connection.commit()


def handle_in_bulk(event: dict[str, Any], connection: psycopg.Connection, table: Table) -> None:
    """The last change of each key, all upserts and all deletes at once."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for record in event["Records"]:
        keys = _plain(record["dynamodb"]["Keys"])
        last[keys["pk"], keys["sk"]] = record
    gone = [key for key, record in last.items() if record["eventName"] == "REMOVE"]
    rows = [
        table.row(record["dynamodb"]["NewImage"])
        for record in last.values()
        if record["eventName"] != "REMOVE"
    ]
    with connection.cursor() as cursor:
        if rows:
            cursor.executemany(table.upsert, rows)
        if gone:
            cursor.executemany(DELETE, gone)
    connection.commit()


def handle_by_copy(event: dict[str, Any], connection: psycopg.Connection, table: Table) -> None:
    """The last change of each key, as text into a staging table, and two statements."""
    last = {}
    for record in event["Records"]:
        keys = record["dynamodb"]["Keys"]
        last[keys["pk"]["S"], keys["sk"]["S"]] = record["dynamodb"].get("NewImage")
    with connection.cursor() as cursor:
        with cursor.copy(table.copy) as copy:
            for image in last.values():
                if image is not None:
                    copy.write_row(table.texts(image))
        with cursor.copy(COPY_GONE) as copy:
            for key, image in last.items():
                if image is None:
                    copy.write_row(key)
        cursor.execute(table.upsert_staged)
        cursor.execute(DELETE_STAGED)
    connection.commit()


# without TypeDeserializer


def _texts(columns: tuple[str, ...]) -> Callable[[_Image], list[Any]]:
    return lambda image: [_text(image.get(name)) for name in columns]


def _document_texts(image: _Image) -> list[Any]:
    data = {name: _json(value) for name, value in image.items() if name not in ("pk", "sk")}
    return [image["pk"]["S"], image["sk"]["S"], json.dumps(data)]


def _text(value: dict[str, Any] | None) -> Any:
    """A typed value as COPY takes it, by what these tables' columns are."""
    if value is None:
        return None
    [(tag, content)] = value.items()
    match tag:
        case "NULL":
            return None
        case "M" | "L":
            return json.dumps(_json(value))
        case "B":
            return b64decode(content)
        case "SS" | "NS":
            return _json(value)
        case "BS":
            return sorted(map(b64decode, content))
        case _:
            return content


def _json(value: dict[str, Any]) -> Any:
    [(tag, content)] = value.items()
    match tag:
        case "M":
            return {name: _json(member) for name, member in content.items()}
        case "L":
            return [_json(member) for member in content]
        case "N":
            return int(content) if content.lstrip("-").isdigit() else float(content)
        case "NULL":
            return None
        case "SS":
            return sorted(content)
        case "NS":
            return [float(member) for member in sorted(content, key=Decimal)]
        case "BS":
            return sorted(content, key=b64decode)
        case _:
            return content


# with it


def _order(image: _Image) -> list[Any]:
    values = _plain(image)
    values["meta"] = Jsonb(values["meta"], dumps=_dumps)
    if "tags" in values:
        values["tags"] = sorted(values["tags"])
    return [values.get(name) for name in ORDERS]


def _article(image: _Image) -> list[Any]:
    values = _plain(image)
    values["code"] = str(values["code"])
    for name in ("details", "offers"):
        values[name] = Jsonb(values[name], dumps=_dumps)
    for name in ("colours", "sizes"):
        if name in values:
            values[name] = sorted(values[name])
    if "seals" in values:
        values["seals"] = sorted(map(bytes, values["seals"]))
    return [values.get(name) for name in ARTICLES]


def _document(image: _Image) -> list[Any]:
    values = {name: _deserialize(value) for name, value in image.items()}
    return [values.pop("pk"), values.pop("sk"), Jsonb(values, dumps=_dumps)]


def _plain(image: _Image) -> dict[str, Any]:
    values = {name: _deserialize(value) for name, value in image.items()}
    return {
        name: bytes(value) if isinstance(value, Binary) else value for name, value in values.items()
    }


def _dumps(value: object) -> str:
    return json.dumps(value, default=_other)


def _other(value: Any) -> Any:
    """What TypeDeserializer makes and `json` does not know."""
    match value:
        case Decimal():
            whole = int(value)
            return whole if whole == value else float(value)
        case set():
            return sorted(value, key=bytes if isinstance(next(iter(value)), Binary) else None)
        case _:
            return b64encode(bytes(value)).decode()


def _order_with_bytes(image: _Image) -> None:
    signature = image["signature"]
    signature["B"] = b64decode(signature["B"])


def _article_with_bytes(image: _Image) -> None:
    thumbnail = image["thumbnail"]
    thumbnail["B"] = b64decode(thumbnail["B"])
    for value in (image.get("seals"), image["details"]["M"].get("seals")):
        if value is not None:
            value["BS"] = list(map(b64decode, value["BS"]))


TABLES = {
    "orders": Table(ORDERS, _order, _texts(ORDERS), _order_with_bytes),
    "articles": Table(ARTICLES, _article, _texts(ARTICLES), _article_with_bytes),
    "orders_document": Table(DOCUMENT, _document, _document_texts, _order_with_bytes),
    "articles_document": Table(DOCUMENT, _document, _document_texts, _article_with_bytes),
}


# where the events come from


def events(
    pages: list[bytes], records_max: int, with_bytes: Callable[[_Image], None] | None
) -> Iterator[dict[str, Any]]:
    """What the runtime makes of the source mapping's JSON, binaries decoded where they must be."""
    for page in pages:
        records = json.loads(page)
        if with_bytes is not None:
            for image in _images(records):
                with_bytes(image)
        for start in range(0, len(records), records_max):
            yield {"Records": records[start : start + records_max]}


def _images(records: list[dict[str, Any]]) -> Iterator[_Image]:
    for record in records:
        for name in ("NewImage", "OldImage"):
            if image := record["dynamodb"].get(name):
                yield image


def polled(endpoint: str, stream_arn: str, shard: str, records: int) -> Iterator[dict[str, Any]]:
    """What boto3's GetRecords gives, page by page."""
    client = boto3.client("dynamodbstreams", endpoint_url=endpoint)
    iterator = client.get_shard_iterator(
        StreamArn=stream_arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    read = 0
    while read < records:
        page = client.get_records(ShardIterator=iterator, Limit=1000)
        iterator = page["NextShardIterator"]
        read += len(page["Records"])
        yield page


def main(dsn: str, name: str, way: str, *words: str) -> None:
    table = TABLES[name]
    if way == "poll":
        endpoint, stream_arn, shard, records = words
        source = polled(endpoint, stream_arn, shard, int(records))
    else:
        records_max, *files = words
        pages = [Path(name).read_bytes() for name in files]
        with_bytes = None if way == "copy" else table.with_bytes
        source = events(pages, int(records_max), with_bytes)
    handle = {"row": handle_rows, "copy": handle_by_copy}.get(way, handle_in_bulk)
    with psycopg.connect(dsn) as connection:
        connection.execute(STAGES)
        connection.commit()
        started, used = time.perf_counter(), time.process_time()
        for event in source:
            handle(event, connection, table)
        ended = time.perf_counter() - started, time.process_time() - used
    sys.stdout.write(json.dumps(ended))


if __name__ == "__main__":
    main(*sys.argv[1:])
