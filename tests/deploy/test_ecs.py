"""What the Terraform module for ECS would make, and that an emulator of AWS takes it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import aioboto3
import pytest

from replicator.config.load_settings import load
from replicator.config.settings import Settings
from replicator.demo.embedded_servers import embedded_dynamodb
from replicator.engine.worker.worker import DRAIN_SECONDS_MAX, RELEASE_SECONDS_MAX
from tests.deploy.terraform import Terraform
from tests.deploy.tools import ROOT
from tests.docs.blocks import blocks
from tests.support.endpoints import CONFIG

ACCOUNT = "000000000000"
SECRET = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:owner-a1b2c3"
SALT = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:salt-a1b2c3"
DIGEST = "registry.example.com/replicator@sha256:" + 64 * "a"
PLACE = {
    "image": DIGEST,
    "cluster_arn": f"arn:aws:ecs:eu-west-1:{ACCOUNT}:cluster/main",
    "vpc_id": "vpc-1",
    "subnet_ids": ["subnet-1", "subnet-2"],
}
BARE: dict[str, Any] = PLACE | {
    "source_tables": ["orders", "users"],
    "kinesis_streams": {"users": "changes"},
    "snapshots": False,
    "create_lease_table": False,
    "migrate": False,
    "password_secret_arn": SECRET,
    "database_security_group_id": "sg-1",
    "metrics_from": "sg-2",
    "hashing_salt_secret_arn": SALT,
    "config": {
        "deployment": "shop",
        "coordination": {"table": "shop-leases"},
        "target": {"dsn": "postgresql://replicator@db.example.com/app?sslmode=verify-full"},
        "snapshot": {"read_units_per_second": 1_000_000},
        "export": {"bucket": "shop-exports"},
        "tables": {
            "orders": {
                "initial_load": "export",
                "personal": {"email": "hash"},
                "into": {"public.orders": {}},
            }
        },
    },
}
"""The module with the least of everything that is optional."""


def example(directory: Path, security_group: str = "sg-1") -> dict[str, Any]:
    """The variables of the example."""
    ca = directory / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    database = {
        "address": "db.example.com",
        "resource_id": "db-ABC",
        "security_group_id": security_group,
        "owner_dsn_secret_arn": SECRET,
    }
    return PLACE | {"ca_file": str(ca), "database": database}


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with embedded_dynamodb() as url:
        yield url


@pytest.fixture(scope="module", params=["example", pytest.param("bare", marks=pytest.mark.long)])
def planned(
    request: pytest.FixtureRequest, emulator: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[dict[str, Any]]]:
    """What each of two configurations would make."""
    directory = tmp_path_factory.mktemp("terraform")
    if request.param == "bare":
        return Terraform(directory / "deploy", "terraform/ecs", emulator).planned(BARE)
    terraform = Terraform(directory / "deploy", "terraform/ecs/example", emulator)
    terraform("fmt", "-check", "-recursive", "../..")
    terraform("validate", "-no-color")
    return terraform.planned(example(directory))


def containers(
    planned: dict[str, list[dict[str, Any]]], *, alone: bool = False
) -> dict[str, dict[str, Any]]:
    """Of the service's task, or of the one that migrates and nothing else."""
    tasks = planned["aws_ecs_task_definition"]
    [task] = [task for task in tasks if task["family"].endswith("-migrate") == alone]
    return {one["name"]: one for one in json.loads(task["container_definitions"])}


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["environment"]}


def test_the_worker_reads_what_the_first_container_wrote(
    planned: dict[str, list[dict[str, Any]]], tmp_path: Path
):
    found = containers(planned)
    [script] = found["config"]["command"]

    subprocess.run(
        [sys.executable, "-c", script.replace("/etc/replicator", str(tmp_path))],
        env={
            **os.environ,
            **environment(found["config"]),
            **{secret["name"]: 32 * "x" for secret in found["config"]["secrets"]},
        },
        check=True,
    )
    settings: Settings = load(
        tmp_path / "replicator.yaml",
        {
            name: value.replace("/etc/replicator", str(tmp_path))
            for name, value in environment(found["replicator"]).items()
        },
    )

    assert settings.tables.keys() == {"orders"}
    assert settings.http.port == found["replicator"]["portMappings"][0]["containerPort"]
    assert settings.target.iam_auth or settings.target.password_secret == SECRET
    assert settings.hashing.salt() == (32 * b"x" if found["config"]["secrets"] else None)
    assert settings.snapshot.read_units_per_second in (500, 1_000_000)


def test_containers_start_in_order_and_the_drain_has_time(
    planned: dict[str, list[dict[str, Any]]],
):
    found = containers(planned)
    order = ["config", "migrate", "replicator"] if "migrate" in found else ["config", "replicator"]

    assert list(found) == order
    for before, after in pairwise(order):
        assert found[after]["dependsOn"] == [{"containerName": before, "condition": "SUCCESS"}]
    assert [name for name in found if found[name]["essential"]] == ["replicator"]
    assert found["replicator"]["stopTimeout"] > DRAIN_SECONDS_MAX + RELEASE_SECONDS_MAX + 5
    assert all(one["readonlyRootFilesystem"] for one in found.values())
    assert all(one["linuxParameters"]["capabilities"]["drop"] == ["ALL"] for one in found.values())
    assert [name for name in found if found[name].get("user") == "0"] == ["config"]
    assert "secrets" not in found["replicator"]  # the owner's DSN is the migration's alone


def test_a_migration_by_hand_is_a_task_that_ends_with_it_and_may_what_the_first_container_may(
    planned: dict[str, list[dict[str, Any]]],
):
    found = containers(planned, alone=True)

    assert list(found) == ["config", "migrate"]
    assert found["migrate"]["dependsOn"] == [{"containerName": "config", "condition": "SUCCESS"}]
    assert [name for name in found if found[name]["essential"]] == ["migrate"]
    usual = containers(planned).get("migrate")
    assert usual is None or found["migrate"]["secrets"] == usual["secrets"]


def test_the_page_names_the_variables_of_the_example_and_its_tasks(emulator: str, tmp_path: Path):
    """What the page says is planned as it stands, with a certificate authority in its place."""
    page = ROOT / "docs/operations/ecs.md"
    [variables] = [block.text for block in blocks(page) if block.info == "hcl"]
    commands = "".join(block.text for block in blocks(page) if block.info == "sh")
    terraform = Terraform(tmp_path / "deploy", "terraform/ecs/example", emulator)
    (terraform.directory / "terraform.tfvars").write_text(variables)
    (terraform.directory / "eu-west-1-bundle.pem").write_text("-----BEGIN CERTIFICATE-----\n")

    families = {task["family"] for task in terraform.planned({})["aws_ecs_task_definition"]}

    named = set(re.findall(r"--task-definition (\S+)", commands))
    assert named == families
    [target] = re.findall(r"-target=(\S+)", commands)
    assert target in terraform("show", "-no-color", "plan")


def test_the_task_may_do_what_the_policies_say_and_no_more(
    planned: dict[str, list[dict[str, Any]]],
):
    [task] = [policy for policy in planned["aws_iam_role_policy"] if policy["name"] == "replicator"]
    statements = json.loads(task["policy"])["Statement"]
    allowed = {
        (action.partition(":")[2], resource.partition(f"{ACCOUNT}:")[2] or resource)
        for statement in statements
        for action in statement["Action"]
        for resource in statement["Resource"]
    }
    bare = "aws_dynamodb_table" not in planned
    leases = "shop-leases" if bare else "replicator-leases"

    assert ("GetRecords", "table/orders/stream/*") in allowed
    assert ("GetRecords", "table/users/stream/*") not in allowed
    assert (("GetRecords", "stream/changes") in allowed) == bare
    assert (("DescribeKinesisStreamingDestination", "table/users") in allowed) == bare
    assert {("UpdateItem", f"table/{leases}")} <= allowed
    assert (("CreateTable", f"table/{leases}") in allowed) == bare
    assert (("Scan", "table/orders") in allowed) == (not bare)
    assert (("GetSecretValue", "secret:owner-a1b2c3") in allowed) == bare
    assert (("connect", "dbuser:db-ABC/replicator") in allowed) == (not bare)
    assert (("ExportTableToPointInTime", "table/orders") in allowed) == bare
    assert (("DescribeExport", "table/orders/export/*") in allowed) == bare
    assert ("ExportTableToPointInTime", "table/users") not in allowed
    assert (("GetObject", "arn:aws:s3:::shop-exports/AWSDynamoDB/*") in allowed) == bare
    assert (("PutObject", "arn:aws:s3:::shop-exports/AWSDynamoDB/*") in allowed) == bare
    assert len(task["policy"]) < 10_240  # of all inline policies of a role


@pytest.mark.long
def test_tables_that_use_exports_and_no_others_get_their_policies(emulator: str, tmp_path: Path):
    """By the configuration's `table`, a name or an ARN; by hand; and with a key of KMS."""
    key = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"
    target: dict[str, Any] = {"into": {"public.orders": {}}}
    arn = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/healed"
    config = BARE["config"] | {
        "export": {"bucket": "shop-exports", "prefix": "some/where", "kms_key": key},
        "tables": {
            "named": target | {"table": arn, "on_gap": "export"},
            "scanned": target,
            "elsewhere": target | {"initial_load": "export"},
        },
    }
    variables = BARE | {"config": config, "export_tables": ["by-hand"]}
    variables |= {"source_tables": ["healed", "scanned", "by-hand"], "kinesis_streams": {}}

    made = Terraform(tmp_path / "deploy", "terraform/ecs", emulator).planned(variables)

    [task] = [policy for policy in made["aws_iam_role_policy"] if policy["name"] == "replicator"]
    granted = {
        action: statement["Resource"]
        for statement in json.loads(task["policy"])["Statement"]
        for action in statement["Action"]
        if "Export" in action or action.startswith(("s3:", "kms:"))
    }
    exported = [
        statement["Resource"]
        for statement in json.loads(task["policy"])["Statement"]
        if "dynamodb:ExportTableToPointInTime" in statement["Action"]
    ]
    place = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table"
    assert exported == [[f"{place}/healed"], [f"{place}/by-hand"]]
    assert granted["s3:GetObject"] == ["arn:aws:s3:::shop-exports/some/where/AWSDynamoDB/*"]
    assert granted["s3:ListBucket"] == ["arn:aws:s3:::shop-exports"]
    assert granted["kms:Decrypt"] == [key]


@pytest.mark.long
async def test_an_emulator_of_aws_takes_all_of_it(emulator: str, tmp_path: Path):
    session = aioboto3.Session(region_name="eu-west-1")
    async with session.client("ec2", endpoint_url=emulator, config=CONFIG) as ec2:
        group = await ec2.create_security_group(GroupName="database", Description="PostgreSQL")
    terraform = Terraform(tmp_path / "deploy", "terraform/ecs/example", emulator)
    # the emulator does not know how to scale services
    (terraform.directory.parent / "autoscaling.tf").unlink()
    terraform.planned(example(tmp_path, group["GroupId"]))

    terraform("apply", "-input=false", "-no-color", "plan")

    async with session.client("ecs", endpoint_url=emulator, config=CONFIG) as ecs:
        made = await ecs.describe_task_definition(taskDefinition="replicator-shop")
    names = [one["name"] for one in made["taskDefinition"]["containerDefinitions"]]
    assert names == ["config", "migrate", "replicator"]
