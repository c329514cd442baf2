"""The commands of docs/operations/deploy.md that put policies in place, run with another `aws`."""

import json
import os
import re
import subprocess
from pathlib import Path

from tests.deploy.tools import ROOT, tool
from tests.docs.blocks import blocks

PAGE = ROOT / "docs/operations/deploy.md"
STAND_IN = '#!/bin/sh\necho "$@" >>calls\n'
PLACE = r"arn:aws:dynamodb:eu-west-1:123456789012:table/(orders|replicator-leases)(/stream/\*)?"


def test_the_page_leaves_no_placeholder_of_its_policies_empty(tmp_path: Path):
    tool("envsubst", remedy="apt-get install gettext-base")
    [commands] = [block.text for block in blocks(PAGE) if "envsubst" in block.text]
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    program = tmp_path / "bin/aws"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)

    subprocess.run(
        ["bash", "-euc", commands],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        check=True,
    )

    policies = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert policies.keys() == {"stream", "snapshot", "leases", "create-leases"}
    named = [
        resource
        for policy in policies.values()
        for statement in policy["Statement"]
        for resource in statement["Resource"]
    ]
    assert [resource for resource in named if not re.fullmatch(PLACE, resource)] == []
    put = (tmp_path / "calls").read_text().splitlines()
    assert len(put) == len(policies)
    assert all(line.startswith("iam put-role-policy --role-name replicator ") for line in put)
