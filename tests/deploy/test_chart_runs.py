"""The chart, with the values of its page, run without a cluster: each container's own words.

What is mounted lies in a directory instead, and the database and AWS are elsewhere; image and
security settings are for `test_image`.
"""

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.test_chart import Manifest, env_of, of_kind, pod_of, render, volume
from tests.docs.blocks import ROOT, blocks
from tests.end_to_end.conftest import one_emulator
from tests.support.comparison import read_rows
from tests.support.daemon import Worker, cold_start
from tests.support.endpoints import create_table, dynamodb_client
from tests.support.ports import kept_port

pytestmark = one_emulator
PAGE = ROOT / "docs/operations/kubernetes.md"
GIVEN = {"replicator-database": {"password": "not asked for\n"}, "rds-ca": {"ca.pem": "none\n"}}
"""What the page keeps in a Secret and a ConfigMap before it installs."""


class Container:
    """The one container of a workload, with what is mounted into it."""

    def __init__(self, manifests: list[Manifest], workload: Manifest, directory: Path) -> None:
        self.directory = directory / workload["metadata"]["name"]
        [self.spec] = pod_of(workload)["spec"]["containers"]
        self._environment = env_of(workload)
        maps = {one["metadata"]["name"]: one["data"] for one in of_kind(manifests, "ConfigMap")}
        for mount in self.spec["volumeMounts"]:
            place = self.directory / mount["mountPath"].removeprefix("/")
            place.mkdir(parents=True)
            mounted = volume(workload, mount["name"])
            source = mounted.get("secret") or mounted["configMap"]
            data = {**GIVEN, **maps}[source.get("secretName") or source["name"]]
            for item in source.get("items") or [{"key": key, "path": key} for key in data]:
                (place / item["path"]).write_text(data[item["key"]])

    def start(self, *words: str) -> Worker:
        """Its own arguments, or what `kubectl exec` would run."""
        told = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        for name, value in self._environment.items():
            inside = self.directory / value.removeprefix("/")
            told[name] = str(inside) if value.startswith("/") and inside.exists() else value
        program = [sys.executable, "-m", "replicator", *(words or self.spec["args"])]
        # where the image's WORKDIR is, which `kubectl exec` begins in as well
        place = self.directory / "etc/replicator"
        path = f"PYTHONPATH={ROOT}"
        environment = [f"{name}={value}" for name, value in told.items()]
        log = self.directory / f"{'-'.join(words) or 'own'}.log"
        return Worker(
            ["env", "-i", "-C", str(place), path, *environment, *program], log, start=cold_start
        )

    def page(self, probe: str) -> str:
        """The path that a probe asks for, at the port that it names."""
        asked: dict[str, str] = self.spec[probe]["httpGet"]
        [port] = [one for one in self.spec["ports"] if one["name"] == asked["port"]]
        assert str(port["containerPort"]) == self._environment["REPLICATOR_HTTP__PORT"]
        return asked["path"]


@pytest.fixture
def manifests(
    dynamodb_endpoint: str, database: str, table_name: str, tmp_path: Path
) -> list[Manifest]:
    """As the page installs it, but for where the servers are and the names of tables."""
    [values] = [block.text for block in blocks(PAGE) if block.info == "yaml"]
    file = tmp_path / "values.yaml"
    file.write_text(values)
    here = {
        "REPLICATOR_TARGET__DSN": f"{database}?sslmode=disable",
        "AWS_ENDPOINT_URL": dynamodb_endpoint,
    }
    extra = [{"name": name, "value": value} for name, value in here.items()]
    return render(
        file,
        f"--set-json=extraEnv={json.dumps(extra)}",
        "--set=http.host=127.0.0.1",
        f"--set=http.port={kept_port()}",
        f"--set=config.source.region={os.environ['AWS_DEFAULT_REGION']}",
        f"--set=config.tables.orders.table={table_name}",
        f"--set=config.coordination.table={table_name}-leases",
    )


async def test_the_containers_of_the_page_migrate_replicate_answer_their_probes_and_end(
    manifests: list[Manifest],
    dynamodb_endpoint: str,
    database: str,
    table_name: str,
    tmp_path: Path,
):
    [job], [deployment] = of_kind(manifests, "Job"), of_kind(manifests, "Deployment")
    async with dynamodb_client(dynamodb_endpoint) as client:
        await create_table(client, table_name)
        await client.put_item(TableName=table_name, Item={"pk": {"S": "a"}})
    migration = Container(manifests, job, tmp_path).start()
    assert await migration.ended() == 0, migration.tail()
    container = Container(manifests, deployment, tmp_path)
    worker = container.start()
    try:

        async def answered(probe: str) -> Any:
            try:
                return (await worker.get(container.page(probe)))[0] == 200
            except OSError:  # it does not listen yet
                return False

        async def replicated() -> bool:
            return bool(await read_rows(database, "public.orders", key=("pk",)))

        await worker.until(partial(started, worker), what="it serves its pages")
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            await worker.until(partial(answered, probe), what=probe)
        await worker.until(replicated, what="the row is there")
        for command in page_commands():
            asked = container.start(*command)
            assert await asked.ended() == 0, asked.tail()
        grace = pod_of(deployment)["spec"]["terminationGracePeriodSeconds"]
        assert await worker.stop(seconds=grace) == 0, worker.tail()
    finally:
        worker.kill()


async def started(worker: Worker) -> bool:
    return bool(worker.entries("started"))


def page_commands() -> list[list[str]]:
    """What the page runs by `kubectl exec`, in the Deployment that the chart makes."""
    lines = [
        line for block in blocks(PAGE) if block.info == "sh" for line in block.text.splitlines()
    ]
    before = "kubectl -n data exec deploy/shop-replicator -- replicator "
    found = [line.removeprefix(before).split() for line in lines if line.startswith(before)]
    assert len(found) == sum(" exec " in line for line in lines) > 0
    return found


def test_every_object_that_the_page_names_is_rendered(manifests: list[Manifest]):
    text = PAGE.read_text("utf-8")
    made = {one["metadata"]["name"] for one in manifests}

    for name in ("shop-replicator", "shop-replicator-migrate"):
        assert name in text
        assert name in made
    for secret in GIVEN:
        assert f" {secret} " in text  # the page makes it before it installs
        assert secret in json.dumps(manifests)
