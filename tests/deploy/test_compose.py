"""The compose file: its parts fit each other, and what it runs, run without containers."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import yaml

from replicator.demo.sample_orders import TABLE
from replicator.postgres.connection.server_addresses import resolve
from tests.deploy.tools import ROOT
from tests.end_to_end.conftest import one_emulator
from tests.support.bounds import USUAL_SECONDS
from tests.support.daemon import Deployment
from tests.support.endpoints import dynamodb_client, table_names
from tests.support.waiting import eventually

FOLDER = ROOT / "deploy/compose"
RUNNING = pytest.mark.skipif(
    "REPLICATOR_TEST_COMPOSE" not in os.environ, reason="asks the containers of `make test-compose`"
)


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


SERVICES: dict[str, dict[str, Any]] = read(FOLDER / "compose.yaml")["services"]


def test_what_is_mounted_is_there():
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            here, _, _ = mount.partition(":")
            assert (FOLDER / here).exists(), mount


def test_every_host_that_is_named_is_a_service():
    configuration = read(FOLDER / "replicator.yaml")
    scraped = read(FOLDER / "prometheus.yml")["scrape_configs"]
    sources = (ROOT / "deploy/grafana/provisioning/datasources").glob("*")
    named = [
        configuration["source"]["endpoint_url"],
        configuration["target"]["dsn"].partition("@")[2],
        SERVICES["writer"]["environment"]["AWS_ENDPOINT_URL_DYNAMODB"],
        *(target for job in scraped for one in job["static_configs"] for target in one["targets"]),
        *(
            one["url"]
            for file in sources
            for one in yaml.safe_load(file.read_text())["datasources"]
        ),
    ]

    hosts = {name.removeprefix("http://").partition(":")[0] for name in named}

    assert hosts == {"dynamodb", "postgres", "replicator", "prometheus"}
    assert hosts <= SERVICES.keys()


def test_the_database_without_tls_is_asked_for_in_so_many_words():
    dsn = read(FOLDER / "replicator.yaml")["target"]["dsn"]

    assert resolve(dsn, {}).sslmode == "disable"


@one_emulator
async def test_the_writer_and_the_configuration_replicate(
    dynamodb_endpoint: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = read(FOLDER / "replicator.yaml")
    settings["source"]["endpoint_url"] = dynamodb_endpoint
    settings["target"]["dsn"] = database
    settings["http"] = {"port": 0}
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_endpoint)
    monkeypatch.setenv("CHANGES_PER_SECOND", "50")
    script = (sys.executable, str(FOLDER / "orders.py"))
    writer = await asyncio.create_subprocess_exec(*script)
    try:
        async with dynamodb_client(dynamodb_endpoint) as client:

            async def written() -> bool:
                if writer.returncode is not None:
                    raise AssertionError("the writer ended")
                return TABLE in await table_names(client) and len(await keys(client)) > 20

            await eventually(written, what="the writer has written")
            asked = await asyncio.create_subprocess_exec(*script, "there")
            assert await asked.wait() == 0
            writer.send_signal(signal.SIGTERM)
            assert await writer.wait() == 0
            async with Deployment(tmp_path, settings) as deployment:
                worker = deployment.start("--migrate", "--until-caught-up")
                assert await worker.ended() == 0, worker.tail()
            expected = await keys(client)
    finally:
        if writer.returncode is None:
            writer.kill()
            await writer.wait()

    assert await rows(database) == sorted(expected)


async def keys(client: Any) -> list[str]:
    page = await client.scan(TableName=TABLE, ConsistentRead=True)
    return [item["order_id"]["S"] for item in page["Items"]]


async def rows(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.fetch("select order_id from orders order by order_id")
    finally:
        await connection.close()
    return [row["order_id"] for row in found]


async def answer(variable: str, port: int, path: str) -> Any:
    """What a container's published port answers."""
    url = f"http://127.0.0.1:{os.environ.get(variable, port)}{path}"
    timeout = aiohttp.ClientTimeout(total=USUAL_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as found:
        assert found.status == 200, await found.text()
        return json.loads(await found.text())


@RUNNING
async def test_the_container_replicates_the_orders():
    async def streaming() -> bool:
        [table] = (await answer("REPLICATOR_PORT", 8080, "/status.json"))["tables"]
        return bool(table["state"] == "streaming" and table["lag_seconds"] < 120)

    await eventually(streaming, what="the orders are replicated")


@RUNNING
async def test_prometheus_scrapes_it_and_has_the_rules():
    async def up() -> bool:
        found = await answer("PROMETHEUS_PORT", 9090, "/api/v1/query?query=up")
        return [one["value"][1] for one in found["data"]["result"]] == ["1"]

    await eventually(up, what="Prometheus scrapes the worker")
    rules = await answer("PROMETHEUS_PORT", 9090, "/api/v1/rules")
    assert len(rules["data"]["groups"]) >= 2


@RUNNING
async def test_grafana_has_the_dashboard():
    board = json.loads((ROOT / "deploy/grafana/dashboards/replicator.json").read_text())

    found = await answer("GRAFANA_PORT", 3000, f"/api/dashboards/uid/{board['uid']}")

    assert found["dashboard"]["title"] == board["title"]
