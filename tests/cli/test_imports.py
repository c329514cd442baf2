"""Commands that ask PostgreSQL alone load no SDK of AWS, which costs more than all they do."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bounds import USUAL_SECONDS

ROOT = Path(__file__).parents[2]
HEAVY = ("aioboto3", "aiobotocore", "boto3", "botocore", "aiohttp", "alembic", "sqlalchemy", "rich")


@pytest.mark.parametrize(
    "command", ["status", "gaps", "dead_letters", "pause", "snapshot", "check"]
)
def test_a_command_that_reads_postgresql_loads_no_sdk(command: str):
    code = (
        f"import sys, replicator.cli.{command};"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )

    shown = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=USUAL_SECONDS,
    )

    assert shown.stdout.strip() == "[]"
