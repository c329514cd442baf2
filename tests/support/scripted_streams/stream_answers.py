"""What DescribeStream, ListStreams, GetShardIterator and GetRecords answer."""

from collections.abc import Mapping
from typing import Any

import orjson

from tests.support.scripted_streams.errors import Refusal, invalid, not_found
from tests.support.scripted_streams.log import PAGE_RECORDS_MAX
from tests.support.scripted_streams.model import World, decode_iterator, table_of
from tests.support.scripted_streams.shards import Shard
from tests.support.scripted_streams.streams import Stream
from tests.support.scripted_streams.tables import Table

LISTED_MAX = 100
OPERATIONS = ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")

Request = Mapping[str, Any]


def answer(
    world: World, operation: str, request: Request, *, empty: bool = False
) -> tuple[bytes, int]:
    """The JSON of the answer and its number of records, or raise Refusal.

    `empty` makes GetRecords answer a page without records although there may be some.
    """
    match operation:
        case "GetRecords":
            return _get_records(world, request, empty=empty)
        case "GetShardIterator":
            return orjson.dumps(_get_shard_iterator(world, request)), 0
        case "DescribeStream":
            return orjson.dumps(_describe_stream(world, request)), 0
        case "ListStreams":
            return orjson.dumps(_list_streams(world, request)), 0
        case _:
            raise Refusal("UnknownOperationException")


def is_scripted(world: World, operation: str, request: Request) -> bool:
    """Whether the call is about a stream of ours; a listing of all streams is."""
    if operation == "ListStreams":
        name = request.get("TableName")
        return name is None or str(name).rpartition("/")[2] in world.tables
    arn = request.get("StreamArn") or str(request.get("ShardIterator")).partition("|")[0]
    return table_of(str(arn)) in world.tables


def _get_records(world: World, request: Request, *, empty: bool) -> tuple[bytes, int]:
    limit = _limit(request, PAGE_RECORDS_MAX)
    iterator = decode_iterator(_needed(request, "ShardIterator"))
    if world.is_expired(iterator):
        raise Refusal("ExpiredIteratorException", "Iterator expired")
    stream = world.find_stream(iterator.stream_arn)
    shard = _readable(stream, iterator.shard)
    log = shard.log
    if iterator.position < log.first:
        raise _trimmed(shard)
    if empty:
        following = world.iterator(stream, shard, iterator.position)
        return orjson.dumps({"NextShardIterator": following, "Records": []}), 0
    page = log.page(iterator.position, limit=limit)
    nothing_follows = page.end == log.end and not shard.is_open
    if nothing_follows and (page.count == 0 or not shard.ends_with_empty_page):
        return b'{"Records":' + page.body + b"}", page.count
    following = world.iterator(stream, shard, page.end)
    head = b'{"NextShardIterator":"' + following.encode() + b'","Records":'
    return head + page.body + b"}", page.count


def _get_shard_iterator(world: World, request: Request) -> dict[str, Any]:
    stream = world.find_stream(_needed(request, "StreamArn"))
    shard = _readable(stream, stream.find(_needed(request, "ShardId")).number)
    position = _position(world, shard, request)
    return {"ShardIterator": world.iterator(stream, shard, position)}


def _position(world: World, shard: Shard, request: Request) -> int:
    log = shard.log
    match _needed(request, "ShardIteratorType"):
        case "TRIM_HORIZON":
            return log.first
        case "LATEST":
            return log.end
        case "AT_SEQUENCE_NUMBER":
            return log.position_at(_known_number(shard, request))
        case "AFTER_SEQUENCE_NUMBER":
            number = _known_number(shard, request)
            position = log.position_after(number)
            if log.first == 0 or log.position_at(number) >= log.first:
                return position
            if world.after_trimmed == "refuse":
                raise _trimmed(shard)
            return max(position, log.first)
        case other:
            raise invalid(f"{other} is no ShardIteratorType")


def _known_number(shard: Shard, request: Request) -> int:
    """A number the shard can have given out; others belong to some other shard or table."""
    text = _needed(request, "SequenceNumber")
    newest = max(shard.end_number or 0, shard.log.last_number or shard.start_number)
    if not text.isdigit() or not shard.start_number <= int(text) <= newest:
        raise invalid("Invalid SequenceNumber for the shard")
    return int(text)


def _readable(stream: Stream, number: int) -> Shard:
    shard = stream.shards.get(number)
    if shard is None or shard.gone:
        raise not_found(f"Shard in stream {stream.arn}")
    if shard.trimmed_answer == "TrimmedDataAccessException":
        raise _trimmed(shard)
    if shard.trimmed_answer is not None:
        raise Refusal(shard.trimmed_answer, "Invalid ShardId in ShardIterator")
    return shard


def _trimmed(shard: Shard) -> Refusal:
    return Refusal(
        "TrimmedDataAccessException",
        f"The requested position of {shard.shard_id} is beyond the trim horizon",
    )


def _describe_stream(world: World, request: Request) -> dict[str, Any]:
    stream = world.find_stream(_needed(request, "StreamArn"))
    table = next(table for table in world.tables.values() if stream in table.streams)
    shards, last = _listed_page(stream, request)
    description = {
        **_stream_name(table, stream),
        "StreamStatus": stream.status,
        "StreamViewType": stream.view,
        "CreationRequestDateTime": stream.created_at,
        "KeySchema": key_schema(table),
        "Shards": [_listed(shard) for shard in shards],
    }
    if last is not None:
        description["LastEvaluatedShardId"] = last
    return {"StreamDescription": description}


def _listed_page(stream: Stream, request: Request) -> tuple[list[Shard], str | None]:
    """One page of shards and, if it is not the last, the id that the next one starts behind."""
    limit = _limit(request, LISTED_MAX)
    start = str(request.get("ExclusiveStartShardId") or "")
    known = _filtered(stream, request.get("ShardFilter"))
    behind = [shard for shard in known if shard.shard_id > start]
    page = behind[:limit]
    more = len(behind) > limit or (stream.listing_tail and bool(page))
    return page, page[-1].shard_id if more else None


def _filtered(stream: Stream, shard_filter: Request | None) -> list[Shard]:
    listed = [shard for shard in stream.shards.values() if not (shard.gone or shard.unlisted)]
    if shard_filter is None:
        return listed
    if shard_filter.get("Type") != "CHILD_SHARDS":
        raise invalid("The only ShardFilter is CHILD_SHARDS")
    parent = stream.find(_needed(shard_filter, "ShardId"))
    match stream.children_answer:
        case "right":
            return [shard for shard in listed if shard.parent is parent]
        case "nothing":
            return []
        case "everything":
            return listed
        case "itself":
            return [parent]


def _listed(shard: Shard) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": f"{shard.start_number:021d}"}
    if shard.end_number is not None and not shard.shown_open:
        numbers["EndingSequenceNumber"] = f"{shard.end_number:021d}"
    listed: dict[str, Any] = {"ShardId": shard.shard_id, "SequenceNumberRange": numbers}
    if shard.parent is not None:
        listed["ParentShardId"] = shard.parent.shard_id
    return listed


def _list_streams(world: World, request: Request) -> dict[str, Any]:
    name = request.get("TableName")
    start = request.get("ExclusiveStartStreamArn")
    names = {
        stream.arn: _stream_name(table, stream)
        for table in world.tables.values()
        if name is None or table.name == str(name).rpartition("/")[2]
        for stream in table.streams
    }
    arns = sorted(arn for arn in names if start is None or arn > start)
    page = arns[: _limit(request, LISTED_MAX)]
    listing: dict[str, Any] = {"Streams": [names[arn] for arn in page]}
    if len(page) < len(arns):
        listing["LastEvaluatedStreamArn"] = page[-1]
    return listing


def key_schema(table: Table) -> list[dict[str, str]]:
    roles = ("HASH", "RANGE")
    return [
        {"AttributeName": name, "KeyType": role}
        for name, role in zip(table.key, roles, strict=False)
    ]


def _stream_name(table: Table, stream: Stream) -> dict[str, str]:
    return {"StreamArn": stream.arn, "TableName": table.name, "StreamLabel": stream.label}


def _needed(request: Request, name: str) -> str:
    value = request.get(name)
    if not value:
        raise invalid(f"The parameter {name} is required but was not present in the request")
    return str(value)


def _limit(request: Request, most: int) -> int:
    limit = request.get("Limit", most)
    if not 1 <= limit <= most:
        raise invalid(f"Value {limit} at 'limit' must be between 1 and {most}")
    return int(limit)
