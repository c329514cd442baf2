"""Terraform in a copy of what it works on, against an emulator of AWS."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.tools import ROOT
from tests.support.bounds import scaled

PLUGINS = "REPLICATOR_TEST_TERRAFORM_PLUGINS"
"""Names a folder with providers, for where Terraform's registry is out of reach."""
SECONDS_MAX = scaled(300.0)


class Terraform:
    """One root module in a copy of `deploy`, initialized."""

    def __init__(self, copy: Path, module: str, endpoint_url: str) -> None:
        """Skip the test where Terraform or its provider is not to be had."""
        if shutil.which("terraform") is None:
            pytest.skip("terraform is not on the PATH")
        if not copy.exists():
            shutil.copytree(ROOT / "deploy", copy)
        self.directory = copy / module
        self._environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": endpoint_url,
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "TF_IN_AUTOMATION": "1",
        }
        plugins = os.environ.get(PLUGINS)
        words = [f"-plugin-dir={plugins}"] if plugins else []
        ended = self._run("init", "-input=false", "-no-color", *words)
        if ended.returncode != 0:
            pytest.skip(f"Terraform finds no provider of AWS; {PLUGINS} may name a folder of it")

    def __call__(self, *words: str) -> str:
        """What a command prints; its failure is the test's."""
        ended = self._run(*words)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def planned(self, variables: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
        """What would be made, by type; what only AWS knows is missing."""
        file = self.directory / "test.tfvars.json"
        file.write_text(json.dumps(variables))
        self("plan", "-input=false", "-no-color", f"-var-file={file}", "-out=plan")
        resources: dict[str, list[dict[str, Any]]] = {}
        for change in json.loads(self("show", "-json", "plan"))["resource_changes"]:
            resources.setdefault(change["type"], []).append(change["change"]["after"])
        return resources

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["terraform", *words],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX,
        )
