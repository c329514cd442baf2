"""Events of AWS Lambda's event source mapping, made of changes."""

from datetime import datetime
from typing import Any

from tests.support.builders import NOON, STREAM

Record = dict[str, Any]


def change(
    number: int,
    key: str = "a",
    *,
    at: datetime | None = NOON,
    removed: bool = False,
    stream_arn: str = STREAM,
    **attributes: Any,
) -> Record:
    """One record as Lambda hands it over. Attributes are typed values; `removed` has none."""
    keys = {"pk": {"S": key}}
    dynamodb: Record = {"Keys": keys, "SequenceNumber": f"{number:021d}", "SizeBytes": 26}
    if at is not None:
        dynamodb["ApproximateCreationDateTime"] = at.timestamp()
    if not removed:
        dynamodb["NewImage"] = {**keys, **attributes}
    return {
        "eventID": f"{number:032x}",
        "eventName": "REMOVE" if removed else "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {**dynamodb, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        "eventSourceARN": stream_arn,
    }


def put(number: int, key: str = "a", **facts: Any) -> Record:
    """A change whose column `n` says its number."""
    return change(number, key, n={"N": str(number)}, **facts)


def event(*records: Record) -> dict[str, list[Record]]:
    """What the handler is given."""
    return {"Records": list(records)}
