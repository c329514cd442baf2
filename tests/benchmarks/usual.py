"""The peers: what everyone writes with boto3 and TypeDeserializer, row by row and in bulk, and what
a good engineer writes without them: COPY into a staging table, and two statements.

As a Lambda handler: `usual.py DSN row|bulk|copy RECORDS_PER_EVENT FILE…`, with files of pages. As a
loop around boto3's GetRecords: `usual.py DSN poll ENDPOINT STREAM_ARN SHARD RECORDS`. Both print
how long they took and how much CPU.
"""

import json
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
from boto3.dynamodb.types import Binary, TypeDeserializer
from psycopg.types.json import Jsonb

COLUMNS = (
    *("pk", "sk", "total", "quantity", "discount", "status", "customer", "address"),
    *("paid", "placed", "meta", "tags", "signature", "note"),
)
UPSERT = f"""
insert into orders ({", ".join(COLUMNS)})
values ({", ".join(["%s"] * len(COLUMNS))})
on conflict (pk, sk) do update set {", ".join(f"{name} = excluded.{name}" for name in COLUMNS[2:])}
"""
DELETE = "delete from orders where pk = %s and sk = %s"
STAGES = """
create temp table put (like orders) on commit delete rows;
create temp table gone (pk text, sk text) on commit delete rows
"""
COPY = f"copy put ({', '.join(COLUMNS)}) from stdin"
COPY_GONE = "copy gone (pk, sk) from stdin"
UPSERT_STAGED = f"""
insert into orders ({", ".join(COLUMNS)}) select {", ".join(COLUMNS)} from put
on conflict (pk, sk) do update set {", ".join(f"{name} = excluded.{name}" for name in COLUMNS[2:])}
"""
DELETE_STAGED = "delete from orders as t using gone where (t.pk, t.sk) = (gone.pk, gone.sk)"
_deserialize = TypeDeserializer().deserialize


def handle_rows(event: dict[str, Any], connection: psycopg.Connection) -> None:
    """One statement for each record, one transaction for the event."""
    for record in event["Records"]:
        change = record["dynamodb"]
        if record["eventName"] == "REMOVE":
            keys = _plain(change["Keys"])
            connection.execute(DELETE, (keys["pk"], keys["sk"]))
        else:
            connection.execute(UPSERT, _row(change["NewImage"]))
    connection.commit()


def handle_in_bulk(event: dict[str, Any], connection: psycopg.Connection) -> None:
    """The last change of each key, all upserts and all deletes at once."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for record in event["Records"]:
        keys = _plain(record["dynamodb"]["Keys"])
        last[keys["pk"], keys["sk"]] = record
    gone = [key for key, record in last.items() if record["eventName"] == "REMOVE"]
    rows = [
        _row(record["dynamodb"]["NewImage"])
        for record in last.values()
        if record["eventName"] != "REMOVE"
    ]
    with connection.cursor() as cursor:
        if rows:
            cursor.executemany(UPSERT, rows)
        if gone:
            cursor.executemany(DELETE, gone)
    connection.commit()


def handle_by_copy(event: dict[str, Any], connection: psycopg.Connection) -> None:
    """The last change of each key, as text into a staging table, and two statements."""
    last = {}
    for record in event["Records"]:
        keys = record["dynamodb"]["Keys"]
        last[keys["pk"]["S"], keys["sk"]["S"]] = record["dynamodb"].get("NewImage")
    with connection.cursor() as cursor:
        with cursor.copy(COPY) as copy:
            for image in last.values():
                if image is not None:
                    copy.write_row([_text(image.get(name)) for name in COLUMNS])
        with cursor.copy(COPY_GONE) as copy:
            for key, image in last.items():
                if image is None:
                    copy.write_row(key)
        cursor.execute(UPSERT_STAGED)
        cursor.execute(DELETE_STAGED)
    connection.commit()


def _text(value: dict[str, Any] | None) -> Any:
    """A typed value as COPY takes it, by what this table's columns are."""
    if value is None:
        return None
    [(tag, content)] = value.items()
    match tag:
        case "NULL":
            return None
        case "M":
            return json.dumps(_document(value))
        case "SS":
            return sorted(content)
        case _:
            return content


def _document(value: dict[str, Any]) -> Any:
    [(tag, content)] = value.items()
    match tag:
        case "M":
            return {name: _document(member) for name, member in content.items()}
        case "L":
            return [_document(member) for member in content]
        case "N":
            return int(content)
        case "NULL":
            return None
        case _:
            return content


def _row(image: dict[str, Any]) -> list[Any]:
    values = _plain(image)
    values["meta"] = Jsonb(values["meta"], dumps=_dumps)
    if "tags" in values:
        values["tags"] = sorted(values["tags"])
    return [values.get(name) for name in COLUMNS]


def _plain(image: dict[str, Any]) -> dict[str, Any]:
    values = {name: _deserialize(value) for name, value in image.items()}
    return {
        name: bytes(value) if isinstance(value, Binary) else value for name, value in values.items()
    }


def _dumps(value: object) -> str:
    return json.dumps(value, default=int)


def events(pages: list[bytes], records_max: int) -> Iterator[dict[str, Any]]:
    """What the runtime makes of the source mapping's JSON, B decoded so that boto3 takes it."""
    for page in pages:
        records = json.loads(page)
        for start in range(0, len(records), records_max):
            some = records[start : start + records_max]
            yield {"Records": [_with_bytes(record) for record in some]}


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


def _with_bytes(record: dict[str, Any]) -> dict[str, Any]:
    for name in ("NewImage", "OldImage"):
        signature = record["dynamodb"].get(name, {}).get("signature")
        if signature is not None:
            signature["B"] = b64decode(signature["B"])
    return record


def main(dsn: str, way: str, *words: str) -> None:
    if way == "poll":
        endpoint, stream_arn, shard, records = words
        source = polled(endpoint, stream_arn, shard, int(records))
    else:
        records_max, *files = words
        source = events([Path(name).read_bytes() for name in files], int(records_max))
    handle = {"row": handle_rows, "copy": handle_by_copy}.get(way, handle_in_bulk)
    with psycopg.connect(dsn) as connection:
        connection.execute(STAGES)
        connection.commit()
        started, used = time.perf_counter(), time.process_time()
        for event in source:
            handle(event, connection)
        ended = time.perf_counter() - started, time.process_time() - used
    sys.stdout.write(json.dumps(ended))


if __name__ == "__main__":
    main(*sys.argv[1:])
