"""Commands that ask PostgreSQL alone load no SDK of AWS, which costs more than all they do."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.bounds import USUAL_SECONDS

ROOT = Path(__file__).parents[2]
HEAVY = ("aioboto3", "aiobotocore", "boto3", "botocore", "aiohttp", "alembic", "sqlalchemy", "rich")


COMMANDS = ["status", "gaps", "dead_letters", "pause", "snapshot", "check"]


def test_a_command_that_reads_postgresql_loads_no_sdk():
    """All in one process: the first that loads one is the first that names it."""
    code = f"""
import importlib, json, sys
found = {{}}
for command in {COMMANDS!r}:
    importlib.import_module(f"replicator.cli.{{command}}")
    found[command] = [name for name in {HEAVY!r} if name in sys.modules]
print(json.dumps(found))
"""

    shown = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=USUAL_SECONDS,
    )

    assert json.loads(shown.stdout) == {command: [] for command in COMMANDS}
