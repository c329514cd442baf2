"""ministack as the tests rely on it: the version of requirements/ministack.txt, in .emulators.

The environment of the tests has another one, of the extra `demo`, which lacks what they need.
"""

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".emulators" / "ministack"
LOCKED = ROOT / "requirements" / "ministack.txt"


class MinistackMissing(Exception):
    """It is not there; the message says how one gets it."""


def missing_ministack(environment: Path = ENVIRONMENT) -> str | None:
    """What is missing and what gets it, in one line; None: it is there, or another one is named."""
    if os.environ.get("REPLICATOR_MINISTACK"):
        return None
    [wanted] = re.findall(r"^ministack==(\S+)", LOCKED.read_text("utf-8"), re.MULTILINE)
    has_program = os.access(environment / "bin" / "ministack", os.X_OK)
    packages = environment.glob(f"lib/python*/site-packages/ministack-{wanted}.dist-info")
    if has_program and any(packages):
        return None
    program = environment.relative_to(ROOT) if environment.is_relative_to(ROOT) else environment
    return (
        f"there is no ministack {wanted} in {program}, an emulator of DynamoDB that tests start: "
        "run `make .emulators/ministack/bin/ministack`, or `make test`, which does"
    )
