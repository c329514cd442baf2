"""The same changes through the API's form and through Lambda's end in the same rows."""

import json
import sys
from pathlib import Path
from subprocess import run

import pytest

from replicator.aws.signed_calls_without_sdk import Credentials, rds_token
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.stream.decoding.dynamodb_records import decode_page
from replicator.core.table_spec import TargetSpec
from replicator.sources.lambda_events.event import batches_of
from tests.support.builders import NOON, table_mapping
from tests.support.lambda_events import change, event
from tests.support.specs import column_spec

EXPIRED = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
RECORDS = [
    change(1, "a", n={"N": "1.50"}, b={"B": "AAEC"}, s={"SS": ["b", "a"]}),
    change(2, "lone \ud83d surrogate", n={"S": "\ud83d"}),
    change(3, "c", m={"M": {"x": {"L": [{"NULL": True}, {"BOOL": False}]}}}, at=None),
    {**change(4, "d", removed=True), "userIdentity": EXPIRED},
    change(5, "nul \0", n={"N": "99999999999999999999999999999999999999"}),
]
AWS_SDK = ("aioboto3", "aiobotocore", "botocore", "boto3", "aiohttp", "alembic", "sqlalchemy")


def test_both_forms_of_a_record_make_the_same_plan():
    mapping = table_mapping(
        TargetSpec("public.t", rest="rest", columns=(column_spec("n", "n", "numeric"),))
    )
    page = json.dumps({"Records": RECORDS}).encode()
    [batch] = batches_of(event(*RECORDS))

    of_the_api = plan_batch(decode_page(page).records, mapping, read_at=NOON.timestamp())
    of_lambda = plan_batch(batch.records, mapping, read_at=NOON.timestamp())

    assert of_lambda.writes == of_the_api.writes
    assert of_lambda.outcomes == of_the_api.outcomes
    assert [each.reason for each in of_lambda.dead_letters] == [
        each.reason for each in of_the_api.dead_letters
    ]
    assert batch.records[3].expired


def test_the_handler_loads_no_sdk_of_aws():
    code = (
        "import sys, replicator.lambda_handler;"
        f"print([name for name in {AWS_SDK!r} if name in sys.modules])"
    )

    shown = run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )

    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("session_token", [None, "a+b/c=="])
def test_a_token_of_rds_iam_is_what_the_sdk_would_make(
    session_token: str | None, monkeypatch: pytest.MonkeyPatch
):
    import botocore.auth  # noqa: PLC0415
    from botocore.auth import SigV4QueryAuth  # noqa: PLC0415 (the daemon's SDK, to compare with)
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials as SdkCredentials  # noqa: PLC0415

    token = rds_token(
        "db.example.com",
        5432,
        "app user",
        region="eu-west-1",
        credentials=Credentials("AKIDEXAMPLE", "secret", session_token),
        now=NOON,
    )

    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOON)
    request = AWSRequest(
        "GET", "https://db.example.com:5432/?Action=connect&DBUser=app%20user", headers={}
    )
    signer = SigV4QueryAuth(
        SdkCredentials("AKIDEXAMPLE", "secret", session_token), "rds-db", "eu-west-1", expires=900
    )
    signer.add_auth(request)
    made = dict(part.split("=", 1) for part in token.split("?")[1].split("&"))
    expected = dict(part.split("=", 1) for part in str(request.url).split("?")[1].split("&"))
    assert made == expected
    assert token.startswith("db.example.com:5432/?Action=connect&DBUser=app%20user&")
