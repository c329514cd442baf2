"""Programs that the tests of what is deployed run, from `make validators` or the machine."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.bounds import USUAL_SECONDS
from tests.support.missing_part import skip_without

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / ".emulators" / "tools" / "bin"


def tool(name: str, *, remedy: str) -> str:
    """The path of a program; a test that lacks it is skipped, in CI it fails."""
    found = shutil.which(name, path=f"{INSTALLED}:{os.environ['PATH']}:/usr/sbin")
    if found is None:
        skip_without(f"{name} is not there: {remedy}")
    return found


def run(*words: str | Path, cwd: Path = ROOT, seconds: float = USUAL_SECONDS) -> str:
    """What a program prints; its failure is the test's."""
    ended = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert ended.returncode == 0, f"{words}\n{ended.stdout}{ended.stderr}"
    return ended.stdout
