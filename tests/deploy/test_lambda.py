"""The package of the Lambda function, and what its Terraform module would make."""

import importlib.util
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import aioboto3
import pytest

from replicator.demo.embedded_servers import embedded_dynamodb
from tests.deploy.terraform import Terraform
from tests.deploy.tools import ROOT
from tests.docs.blocks import blocks
from tests.support.endpoints import CONFIG, create_table

PAGE = ROOT / "docs/operations/lambda.md"
KINESIS = "arn:aws:kinesis:eu-west-1:000000000000:stream/changes"
STREAM = "arn:aws:dynamodb:eu-west-1:000000000000:table/orders/stream/2026-03-01T00:00:00.000"


@pytest.fixture(scope="module")
def package() -> ModuleType:
    spec = importlib.util.spec_from_file_location("package", ROOT / "deploy/lambda/package.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with embedded_dynamodb() as url:
        yield url


@pytest.fixture(scope="module")
def terraform(emulator: str, tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    copy = tmp_path_factory.mktemp("terraform") / "deploy"
    return Terraform(copy, "terraform/lambda", emulator)


def variables(folder: Path, stream: str) -> dict[str, Any]:
    """The module's, with a package that does nothing."""
    archive = folder / "replicator.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("replicator.yaml", "version: 1\n")
    return {
        "package": str(archive),
        "deployment": "shop",
        "streams": {"orders": stream},
        "password_secret_arn": "arn:aws:secretsmanager:eu-west-1:000000000000:secret:db-a1b2c3",
        "subnet_ids": ["subnet-1"],
        "security_group_ids": ["sg-1"],
        "alarm_topic_arn": "arn:aws:sns:eu-west-1:000000000000:alarms",
    }


def test_the_page_gives_the_template_and_the_module_what_they_ask_for():
    [commands] = [b.text for b in blocks(PAGE) if b.info == "sh" and "cloudformation" in b.text]
    [module] = [block.text for block in blocks(PAGE) if block.info == "hcl"]
    template = (ROOT / "deploy/lambda/template.yaml").read_text("utf-8")
    parameters = template.partition("\nParameters:\n")[2].partition("\nConditions:")[0]
    variables = (ROOT / "deploy/terraform/lambda/variables.tf").read_text("utf-8")
    asked = re.findall(r"^  (\w+):\n((?:    .*\n)*)", parameters + "\n", re.MULTILINE)
    declared = re.findall(r'^variable "(\w+)" {\n(.*?)^}', variables, re.MULTILINE | re.DOTALL)

    overrides = commands.partition("--parameter-overrides ")[2]
    given = set(re.findall(r"(?:^|[ '])([A-Z]\w+)=", overrides))
    arguments = set(re.findall(r"^ {2}(\w+) +=", module, re.MULTILINE)) - {"source"}

    assert {name for name, text in asked if "Default:" not in text} <= given
    assert given <= {name for name, _ in asked}
    assert {name for name, text in declared if "default " not in text} <= arguments
    assert arguments <= {name for name, _ in declared}


def test_an_archive_depends_on_names_and_contents_alone(package: ModuleType, tmp_path: Path):
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "lib").mkdir(parents=True)
        for file in sorted(("lib/b.py", "a.py", "lib/c.pyi"), reverse=name == "two"):
            (folder / file).write_text(file)
    one, two = (package.zipped(tmp_path / n, tmp_path / f"{n}.zip") for n in ("one", "two"))

    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert archive.namelist() == ["a.py", "lib/b.py"]


def test_the_package_has_the_handler_and_nothing_of_the_command_line(package: ModuleType):
    names = {str(name) for _, name in package.ours()}

    assert "replicator/lambda_handler.py" in names
    assert not [name for name in names if name.startswith(("replicator/cli", "replicator/demo"))]


def test_the_module_gives_no_record_up_and_lets_the_function_do_little(
    terraform: Terraform, tmp_path: Path
):
    planned = terraform.planned(variables(tmp_path, STREAM))

    [mapping] = planned["aws_lambda_event_source_mapping"]
    assert mapping["function_response_types"] == ["ReportBatchItemFailures"]
    assert mapping["bisect_batch_on_function_error"] is True
    assert (mapping["maximum_retry_attempts"], mapping["maximum_record_age_in_seconds"]) == (-1, -1)
    assert len(planned["aws_cloudwatch_metric_alarm"]) == 4
    [function] = planned["aws_lambda_function"]
    environment = function["environment"][0]["variables"]
    assert environment["REPLICATOR_TARGET__PASSWORD_SECRET"].endswith("a1b2c3")


def test_tables_that_share_a_kinesis_stream_have_one_mapping_and_the_role_may_read_it(
    terraform: Terraform, tmp_path: Path
):
    streams = {"orders": STREAM, "users": KINESIS, "carts": KINESIS}
    planned = terraform.planned(variables(tmp_path, STREAM) | {"streams": streams})

    mappings = planned["aws_lambda_event_source_mapping"]
    assert sorted(each["event_source_arn"] for each in mappings) == sorted({STREAM, KINESIS})
    [policy] = [each["policy"] for each in planned["aws_iam_role_policy"] if each.get("policy")]
    allowed = {
        (action, resource)
        for statement in json.loads(policy)["Statement"]
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    assert allowed == read_by("lambda", STREAM) | read_by("lambda-kinesis", KINESIS)
    assert len(planned["aws_cloudwatch_metric_alarm"]) == 2 + 2 * len(streams)


def read_by(policy: str, stream: str) -> set[tuple[str, str]]:
    """What a policy of `deploy/iam` allows of streams, with the stream's own ARN."""
    document = json.loads((ROOT / "deploy/iam" / f"{policy}.json").read_text("utf-8"))
    return {
        (action, resource if resource == "*" else stream)
        for statement in document["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
        if action.partition(":")[0] in {"dynamodb", "kinesis"}
    }


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("policy", ["lambda", "lambda-kinesis"])
def test_the_template_lets_the_function_read_what_the_policies_say(policy: str):
    """The linters look at the template as it stands; this looks at the words of the role."""
    template = (ROOT / "deploy/lambda/template.yaml").read_text("utf-8")

    assert [action for action, _ in read_by(policy, STREAM) if action not in template] == []


@pytest.mark.long
async def test_an_emulator_of_aws_takes_the_module_and_gives_all_of_it_back(
    terraform: Terraform, emulator: str, tmp_path: Path
):
    session = aioboto3.Session(region_name="eu-west-1")
    async with session.client("dynamodb", endpoint_url=emulator, config=CONFIG) as tables:
        stream = await create_table(tables, "orders")
    terraform.planned(variables(tmp_path, stream))
    terraform("apply", "-input=false", "-no-color", "plan")

    async with session.client("lambda", endpoint_url=emulator, config=CONFIG) as client:
        [mapping] = (await client.list_event_source_mappings())["EventSourceMappings"]
        terraform("destroy", "-auto-approve", "-no-color", "-var-file=test.tfvars.json")
        left = (await client.list_functions())["Functions"]

    assert mapping["EventSourceArn"] == stream
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert left == []


@pytest.mark.long
def test_every_zip_is_small_and_the_same_when_it_is_built_again(
    package: ModuleType, tmp_path: Path
):
    for architecture in package.MACHINES:
        built = [package.build(architecture, tmp_path / name, None) for name in ("one", "two")]

        assert built[0].read_bytes() == built[1].read_bytes()
        assert built[0].stat().st_size < package.MEGABYTES_MAX * 1e6
