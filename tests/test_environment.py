"""Variables of the shell that name other servers, or a proxy to them, reach no test."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import CREDENTIALS
from tests.support.bounds import USUAL_SECONDS
from tests.support.warm_start import ROOT

SHELL = {
    "PGSSLMODE": "require",
    "PGHOST": "db.example.org",
    "AWS_PROFILE": "production",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "REPLICATOR_CONFIG": "/etc/replicator.yaml",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "no_proxy": "intranet.example.org",
}
CREDENTIALS_FOUND = """
import os, tests.conftest, botocore.session
del os.environ["AWS_ACCESS_KEY_ID"]
found = botocore.session.Session()
print(found.get_credentials(), found.available_profiles)
"""
SAYS = "import json, os, tests.conftest; print(json.dumps(dict(os.environ)))"


def said_by(program: str, shell: dict[str, str]) -> str:
    """The output of a program that such a shell starts."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | shell,
        capture_output=True,
        text=True,
        timeout=USUAL_SECONDS,
        check=True,
    ).stdout


def test_servers_of_a_session_meet_nothing_that_a_shell_says_of_other_servers():
    found = json.loads(said_by(SAYS, SHELL))

    assert {
        name: value
        for name, value in found.items()
        if name.startswith(("AWS_", "PG", "REPLICATOR_"))
        and not name.startswith(("REPLICATOR_TEST_", "REPLICATOR_MINISTACK"))
    } == CREDENTIALS
    assert found["HTTP_PROXY"] == SHELL["HTTP_PROXY"], "what is fetched may need it"
    assert found["no_proxy"] == "intranet.example.org,127.0.0.1,localhost"


def test_tests_find_no_credentials_of_whoever_runs_them(tmp_path: Path):
    (tmp_path / ".aws").mkdir()
    for name in ("config", "credentials"):
        (tmp_path / ".aws" / name).write_text(
            "[default]\naws_access_key_id = AKIA\naws_secret_access_key = s\nregion = eu-west-1\n"
        )

    assert said_by(CREDENTIALS_FOUND, {"HOME": str(tmp_path)}) == "None []\n"
