"""A real Prometheus, its promtool, and what is asked of them."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.support.bounds import USUAL_SECONDS
from tests.support.waiting import eventually
from tests.support.warm_start import ROOT

RULES = ROOT / "deploy/prometheus"
SCRAPE_SECONDS = 1


def program(name: str) -> str:
    """Where promtool or prometheus is; the test is skipped without it, except in CI."""
    found = shutil.which(name)
    if found is None:
        assert os.environ.get("CI") != "true", f"{name} (package prometheus) is required in CI"
        pytest.skip(f"{name} is not installed")
    return found


def rules(name: str) -> list[dict[str, Any]]:
    """The rules of one of our files."""
    groups = yaml.safe_load((RULES / name).read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def complaints(metrics: str) -> tuple[int, str]:
    """What `promtool check metrics` ends with and says; (0, "") when it has nothing to say."""
    said = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=metrics,
        capture_output=True,
        text=True,
        timeout=USUAL_SECONDS,
        check=False,
    )
    return said.returncode, said.stdout + said.stderr


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def _data(self, path: str, **parameters: str) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/api/v1/{path}", params=parameters) as answer,
        ):
            body = await answer.json()
        assert body["status"] == "success", body
        return body["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query; a wrong expression fails the test."""
        data = await self._data("query", query=expression)
        result: list[dict[str, Any]] = data["result"]
        return result

    async def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        alerts = (await self._data("alerts"))["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}


@asynccontextmanager
async def prometheus(
    directory: Path, *targets: str, rule_files: list[Path] | None = None, port: int
) -> AsyncIterator[Prometheus]:
    """Start one that scrapes the targets, `host:port` each, all the time."""
    settings = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in rule_files or []],
        "scrape_configs": [
            {"job_name": "replicator", "static_configs": [{"targets": list(targets)}]}
        ],
    }
    path = directory / "prometheus.yml"
    path.write_text(yaml.safe_dump(settings))
    with (directory / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program("prometheus"),
            f"--config.file={path}",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:

        async def scraped() -> bool:
            assert process.returncode is None, (directory / "prometheus.log").read_text()
            try:
                return len(await server.query("up == 1")) == len(targets)
            except aiohttp.ClientError:
                return False

        await eventually(scraped, what="every target is scraped")
        yield server
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), USUAL_SECONDS)
