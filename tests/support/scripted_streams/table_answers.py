"""What table operations answer for scripted tables; expressions are refused, not guessed."""

from collections.abc import Mapping
from typing import Any

from tests.support.scripted_streams.errors import Refusal, invalid
from tests.support.scripted_streams.items import Item, size_bytes
from tests.support.scripted_streams.model import World
from tests.support.scripted_streams.stream_answers import key_schema
from tests.support.scripted_streams.tables import Table

NOT_SCRIPTED = ("DescribeContinuousBackups",)
"""Calls about exports, which another answers, whatever the table is."""
SCAN_BYTES_MAX = 1024 * 1024
BATCH_MAX = 100

Request = Mapping[str, Any]


def is_scripted(world: World, operation: str, request: Request) -> bool:
    """Whether the call is for us: it names one of our tables, or makes a table with a stream."""
    if operation in NOT_SCRIPTED:
        return False
    specification = request.get("StreamSpecification") or {}
    if operation == "CreateTable" and specification.get("StreamEnabled"):
        return True
    names = [request["TableName"]] if "TableName" in request else request.get("RequestItems", {})
    return any(str(name).rpartition("/")[2] in world.tables for name in names)


def answer(world: World, operation: str, request: Request) -> dict[str, Any]:
    """The answer, or raise Refusal."""
    _refuse_expressions(request)
    if operation == "CreateTable":
        return {"TableDescription": _describe(_create(world, request))}
    if operation == "BatchGetItem":
        return _batch_get(world, request)
    table = world.table_named(str(request.get("TableName")))
    answered = _answer_for_items(table, operation, request)
    return _about(table, operation, request) if answered is None else answered


def _about(table: Table, operation: str, request: Request) -> dict[str, Any]:
    match operation:
        case "DescribeTable":
            return {"Table": _describe(table)}
        case "UpdateTable":
            _change_stream(table, request)
            return {"TableDescription": _describe(table)}
        case "DeleteTable":
            description = _describe(table) | {"TableStatus": "DELETING"}
            table.drop()
            return {"TableDescription": description}
        case "DescribeTimeToLive":
            return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
        case _:
            raise Refusal("UnknownOperationException", f"not scripted: {operation}")


def _answer_for_items(table: Table, operation: str, request: Request) -> dict[str, Any] | None:
    match operation:
        case "Scan":
            return _scan(table, request)
        case "GetItem":
            item = table.items.get(request["Key"])
            return {"Item": item} if item is not None else {}
        case "PutItem":
            table.put(request["Item"])
            return {}
        case "DeleteItem":
            table.delete(request["Key"])
            return {}
        case _:
            return None


def _create(world: World, request: Request) -> Table:
    types = {
        definition["AttributeName"]: definition["AttributeType"]
        for definition in request["AttributeDefinitions"]
    }
    names = [part["AttributeName"] for part in request["KeySchema"]]
    view = request["StreamSpecification"]["StreamViewType"]
    return world.add_table(
        request["TableName"],
        key={name: types[name] for name in names},
        view=view,
        shards=1,
        counter=1,
    )


def _describe(table: Table) -> dict[str, Any]:
    description: dict[str, Any] = {
        "TableName": table.name,
        "TableArn": table.arn,
        "TableStatus": "ACTIVE",
        "CreationDateTime": table.created_at,
        "ItemCount": len(table.items),
        "TableSizeBytes": table.items.size_bytes(),
        "KeySchema": key_schema(table),
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind} for name, kind in table.key.items()
        ],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
    }
    if table.streams:
        stream = table.stream
        description |= {"LatestStreamArn": stream.arn, "LatestStreamLabel": stream.label}
        if stream.disabled_at is None:
            description["StreamSpecification"] = {
                "StreamEnabled": True,
                "StreamViewType": stream.view,
            }
    return description


def _change_stream(table: Table, request: Request) -> None:
    wanted = request.get("StreamSpecification") or {}
    enabled = bool(table.streams) and table.stream.disabled_at is None
    match wanted.get("StreamEnabled"), enabled:
        case True, True:
            raise Refusal("ResourceInUseException", "Table already has an enabled stream")
        case True, False if table.streams:
            table.enable_stream(wanted["StreamViewType"])
        case True, False:
            table.start_stream(wanted["StreamViewType"])
        case False, True:
            table.disable_stream()
        case _:
            raise invalid("Nothing to change that is scripted")


def _scan(table: Table, request: Request) -> dict[str, Any]:
    """One page; a page that stops early says where, even if nothing follows, as AWS does."""
    limit = request.get("Limit")
    found: list[Item] = []
    size, last = 0, None
    for item in table.items.scan(
        segment=request.get("Segment", 0),
        segments=request.get("TotalSegments", 1),
        after=request.get("ExclusiveStartKey"),
    ):
        found.append(item)
        size += size_bytes(item)
        if len(found) == limit or size >= SCAN_BYTES_MAX:
            last = {name: item[name] for name in table.key}
            break
    page: dict[str, Any] = {"Count": len(found), "ScannedCount": len(found)}
    if request.get("Select") != "COUNT":
        page["Items"] = found
    if last is not None:
        page["LastEvaluatedKey"] = last
    if request.get("ReturnConsumedCapacity", "NONE") != "NONE":
        page["ConsumedCapacity"] = _consumed(table, request, size)
    return page


def _consumed(table: Table, request: Request, size: int) -> dict[str, Any]:
    units = max(1, -(-size // 4096))
    return {
        "TableName": table.name,
        "CapacityUnits": units if request.get("ConsistentRead") else units / 2,
    }


def _batch_get(world: World, request: Request) -> dict[str, Any]:
    responses: dict[str, list[Item]] = {}
    if sum(len(wanted["Keys"]) for wanted in request["RequestItems"].values()) > BATCH_MAX:
        raise invalid("Too many items requested for the BatchGetItem call")
    for name, wanted in request["RequestItems"].items():
        _refuse_expressions(wanted)
        items = world.table_named(name).items
        found = (items.get(key) for key in wanted["Keys"])
        responses[name] = [item for item in found if item is not None]
    return {"Responses": responses, "UnprocessedKeys": {}}


def _refuse_expressions(request: Request) -> None:
    for name in request:
        if name.endswith("Expression"):
            raise invalid(f"A scripted table does not evaluate {name}")
