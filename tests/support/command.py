"""The command line, run in this process: starting one for each of many commands takes too long."""

import asyncio
import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from replicator.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document that it printed, which must be all of stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found


async def replicator(*arguments: str, config: Path | None) -> Ended:
    """Run a command to its end; what it does not handle itself fails the test."""
    named = [] if config is None else ["--config", str(config)]
    return await asyncio.to_thread(_run, [*arguments, *named])


def _run(arguments: list[str]) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        patch.object(sys, "argv", ["replicator", *arguments]),
    ):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    assert "Traceback" not in err.getvalue()
    return Ended(code, out.getvalue(), err.getvalue())
