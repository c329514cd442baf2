"""Every call that the code makes is allowed by the policy of its purpose, and nothing else is."""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aioboto3
import pytest
from botocore import xform_name

from replicator.aws.client_factory import open_client
from replicator.aws.secrets import rds_token
from replicator.aws.source_connection import ExportDestination, SourceConnection
from replicator.core.snapshot.export_manifest import DataFile
from replicator.core.snapshot.scan_responses import Segment
from replicator.errors import ExportUnfit, ReplicatorError
from replicator.sources.check_source_and_lease_tables import lambda_readers
from replicator.sources.dynamodb.describe_table import describe_table
from replicator.sources.dynamodb.s3_exports import TableExports
from replicator.sources.dynamodb.table_items import TableItems, open_items_client
from replicator.sources.kinesis.check_kinesis_stream import check_destination
from tests.deploy.aws_calls import ACCOUNT, REGION, Call, Recorder, recorded
from tests.deploy.tools import ROOT, tool
from tests.end_to_end.conftest import one_emulator
from tests.support.bounds import USUAL_SECONDS
from tests.support.builders import NOON
from tests.support.command import replicator
from tests.support.daemon import Deployment, configuration
from tests.support.endpoints import CONFIG, create_table, dynamodb_client
from tests.support.kinesis_local import kinesis_client

POLICIES = sorted((ROOT / "deploy/iam").glob("*.json"))
KINESIS_STREAM = "changes"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:replicator-a1b2c3"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/replicator"
NOT_OUR_CALLS = {
    "lambda": "what the service does to feed a function",
    "lambda-kinesis": "the same",
    "encrypted-table": "KMS",
}
NOT_OUR_CALLS |= {"export-bucket": "DynamoDB writes in our name", "encrypted-export": "KMS"}
"""Policies for what others do on our behalf."""
TOKENS = {"rds-iam": "a token is signed without a call"}


@dataclass(frozen=True)
class Allowed:
    """One action on one pattern of resources."""

    action: str
    pattern: str

    def covers(self, call: Call) -> bool:
        return self.action == call.action and fnmatchcase(call.resource, self.pattern)


def names(table: str, lease_table: str, secret: str) -> dict[str, str]:
    """What stands for the placeholders of the policies."""
    return {
        "partition": "aws",
        "region": REGION,
        "account": ACCOUNT,
        "table": table,
        "lease_table": lease_table,
        "secret": secret,
        "role": ROLE,
        "database_resource": "db-ABC",
        "database_user": "replicator",
        "function": "replicator",
        "bucket": "exports",
        "prefix": "some/where",
        "kinesis_stream": KINESIS_STREAM,
        "key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1",
    }


def allowed_by(policy: Path, values: dict[str, str]) -> set[Allowed]:
    document = json.loads(Template(policy.read_text()).substitute(values))
    return {
        Allowed(action, resource)
        for statement in document["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.stem)
def test_no_policy_allows_a_whole_service_or_every_table(policy: Path):
    for allowed in allowed_by(policy, names("orders", "leases", SECRET)):
        assert "*" not in allowed.action
        if allowed.action.startswith("dynamodb:") and allowed.action != "dynamodb:ListStreams":
            assert re.search(r"table/(orders|leases)(/(stream|export)/\*)?$", allowed.pattern)


def test_every_action_exists_and_fits_its_resource():
    """A linter that knows the actions of AWS; placeholders are filled in, since it reads ARNs."""
    values = names("orders", "leases", SECRET)
    documents = [json.loads(Template(policy.read_text()).substitute(values)) for policy in POLICIES]
    together = {
        "Version": "2012-10-17",
        "Statement": [one for document in documents for one in document["Statement"]],
    }

    found = subprocess.run(
        [tool("parliament", remedy="run `make validators`"), "--minimum_severity", "MEDIUM"],
        input=json.dumps(together),
        capture_output=True,
        text=True,
        check=False,
        timeout=USUAL_SECONDS,
    )

    assert (found.returncode, found.stdout) == (0, ""), found.stderr


def test_nothing_is_ever_written_to_a_source_table():
    values = names("orders", "leases", SECRET)
    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"
    writes = [
        Call(f"dynamodb:{action}", table)
        for action in ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "UpdateTable")
    ]

    granted = [allowed for policy in POLICIES for allowed in allowed_by(policy, values)]

    assert not [call for call in writes for allowed in granted if allowed.covers(call)]


@one_emulator
async def test_what_the_code_calls_is_what_the_policies_allow(
    dynamodb_endpoint: str, database: str, tmp_path: Path, table_name: str, monkeypatch: Any
):
    secret = await a_secret(dynamodb_endpoint)
    async with recorded(dynamodb_endpoint) as (url, recorder):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        deployment = await live(
            Deployment(tmp_path, settings(url, database, table_name, secret)), dynamodb_endpoint
        )
        await read_items(url, table_name)
        await read_exports(url, table_name)
        await read_kinesis(url, dynamodb_endpoint, table_name)

    lease_table = deployment.settings["coordination"]["table"]
    values = names(table_name, lease_table, secret)
    granted = {
        policy.stem: allowed_by(policy, values)
        for policy in POLICIES
        if policy.stem not in (*NOT_OUR_CALLS, *TOKENS)
    }
    assert not_allowed(recorder, granted) == []
    assert not_used(recorder, granted) == []
    assert actions_in_the_code() <= {call.action for call in recorder.calls}


def not_allowed(recorder: Recorder, granted: dict[str, set[Allowed]]) -> list[Call]:
    everything = set().union(*granted.values())
    return [call for call in recorder.calls if not any(one.covers(call) for one in everything)]


def not_used(recorder: Recorder, granted: dict[str, set[Allowed]]) -> list[tuple[str, Allowed]]:
    return [
        (purpose, allowed)
        for purpose, all_allowed in granted.items()
        for allowed in all_allowed
        if not any(allowed.covers(call) for call in recorder.calls)
    ]


def settings(url: str, dsn: str, table: str, secret: str) -> dict[str, Any]:
    """A configuration that asks for all that AWS can be asked for."""
    entry = {"table": table, "initial_load": "stream", "into": {f"public.{table}": {}}}
    made = configuration(
        endpoint_url=url, dsn=dsn, tables={"orders": entry}, deployment=f"iam-{table}"
    )
    made["source"] |= {"role_arn": ROLE, "region": REGION}
    made["target"] |= {"password_secret": secret}
    return made


async def a_secret(url: str) -> str:
    async with aioboto3.Session().client(
        "secretsmanager", endpoint_url=url, config=CONFIG
    ) as secrets:
        made = await secrets.create_secret(Name="replicator", SecretString="swordfish")
    arn: str = made["ARN"]
    return arn


async def live(deployment: Deployment, emulator: str) -> Deployment:
    """Everything that a deployment does in its life, with as little as shows every call."""
    [entry] = deployment.settings["tables"].values()
    async with dynamodb_client(emulator) as client, deployment:
        await create_table(client, entry["table"])
        await client.put_item(TableName=entry["table"], Item={"pk": {"S": "a"}})
        await deployment.migrate()
        worker = await deployment.start_ready()
        await worker.until(lambda: worker.total("replicator_rows_total"), what="a row is written")
        assert await worker.stop() == 0
    for words in (
        ("check",),
        ("pause", "--table", "orders", "--why", "it is forgotten"),
        ("forget", "--table", "orders", "--yes", "--why", "it was a trial"),
    ):
        ended = await replicator(*words, config=deployment.path)
        assert ended.code == 0, ended.out + ended.err
    return deployment


async def read_items(url: str, table: str) -> None:
    """What loading and comparing a table take."""
    connection = SourceConnection(region=REGION, endpoint_url=url)
    async with open_items_client(connection) as client:
        items = TableItems(client, lambda _: None, table=table)
        await items.scan(Segment(0, 1), after=None, items_max=1)
        await items.get([{"pk": {"S": "a"}}])
        described = await client.describe_table(TableName=table)
    # `check` asks for these where AWS itself is the source
    assert await lambda_readers(described["Table"]["LatestStreamArn"], connection) == []


async def read_exports(url: str, table: str) -> None:
    """What loading from exports takes; the emulator says that it made one, and writes nothing."""
    connection = SourceConnection(region=REGION, endpoint_url=url)
    destination = ExportDestination("exports", "some/where")
    file = DataFile("some/where/AWSDynamoDB/0169/data/0.json.gz", 1, "")
    async with (
        open_client("dynamodb", connection) as client,
        open_client("s3", connection) as s3,
    ):
        exports = TableExports(client, s3, destination, lambda _: None, table=table)
        await exports.recovery()
        arn = await exports.ask(NOON, token="1")
        with suppress(ReplicatorError):
            await exports.complete(arn)
        with pytest.raises(ExportUnfit):
            await exports.verify("exports", file, live=lambda: None)


async def read_kinesis(url: str, emulator: str, table: str) -> None:
    """What reading a table's changes from Kinesis takes: `check` tries each call."""
    place = SourceConnection(region=REGION, endpoint_url=url, kinesis_endpoint_url=url)
    async with (
        kinesis_client(emulator) as kinesis,
        dynamodb_client(emulator) as emulated,
        open_client("dynamodb", place) as client,
    ):
        await kinesis.create_stream(StreamName=KINESIS_STREAM, ShardCount=1)
        arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{KINESIS_STREAM}"
        await emulated.enable_kinesis_streaming_destination(TableName=table, StreamArn=arn)
        description = await describe_table(client, table)
        found = await check_destination("here", client, description, arn, place)
    assert [finding for finding in found if finding.severity == "error"] == []


def actions_in_the_code() -> set[str]:
    """Every method of an AWS client that the code names, as the action of IAM that it needs."""
    known = set(methods_of_clients())
    found = {
        node.attr
        for part in ("sources", "coordination")
        for path in (ROOT / "replicator" / part).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    return {action for method, action in known if method in found}


def methods_of_clients() -> Iterator[tuple[str, str]]:
    """Python's names of all operations of the services that the code has clients of."""
    session = aioboto3.Session()._session
    loader = session.get_component("data_loader")
    for service, prefix in (
        ("dynamodb", "dynamodb"),
        ("dynamodbstreams", "dynamodb"),
        ("lambda", "lambda"),
        ("s3", "s3"),
        ("secretsmanager", "secretsmanager"),
    ):
        for operation in loader.load_service_model(service, "service-2")["operations"]:
            yield xform_name(operation), f"{prefix}:{operation}"
    streams = loader.load_service_model("dynamodbstreams", "service-2")["operations"]
    for operation in loader.load_service_model("kinesis", "service-2")["operations"]:
        if operation not in streams:  # a method's name does not tell the two apart
            yield xform_name(operation), f"kinesis:{operation}"


async def test_a_token_of_rds_asks_for_what_its_policy_allows():
    token = await rds_token(REGION)("db.example.com", 5432, "replicator")

    asked = parse_qs(urlsplit(f"https://{token}").query)
    [policy] = [policy for policy in POLICIES if policy.stem == "rds-iam"]
    [allowed] = allowed_by(policy, names("orders", "leases", SECRET))

    assert asked["Action"] == ["connect"]
    assert asked["DBUser"] == [allowed.pattern.rpartition("/")[2]]
    assert allowed.action == "rds-db:connect"
