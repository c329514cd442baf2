"""A server process that never outlives whoever started it.

The server's parent is not us but this very file, run as a program: it waits for the pipe to us to close, by whatever
death, then ends the server and removes what it left.
A parent-death signal would do less: it exists on Linux only, is tied to a thread instead of a process, and removes nothing.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_SECONDS = 5.0


class Leashed:
    """A running server; it ends when `close` is called, when it is told to, or when we die."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        user: int | None = None,
        remove: Path | None = None,
    ) -> None:
        """Start `command`, as `user` when given, with both outputs appended to `log`.

        `remove` is deleted if we die without saying goodbye; otherwise it is the caller's.
        """
        options = [f"--user={user}"] if user is not None else []
        options += [f"--remove={remove}"] if remove is not None else []
        with log.open("ab") as output:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", __file__, *options, "--", *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=dict(environment),
                cwd="/",
                start_new_session=True,  # Ctrl-C is for us; we then end our servers in order
            )

    def running(self) -> bool:
        """Whether the server has not ended."""
        return self._keeper.poll() is None

    def ended_within(self, seconds: float) -> bool:
        """Wait so long at most; whether the server has ended."""
        try:
            self._keeper.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def tell(self, number: signal.Signals) -> None:
        """Pass a signal on to the server; nothing happens if it has ended."""
        if self.running() and self._keeper.stdin is not None:
            self._keeper.stdin.write(b"%d\n" % number)
            self._keeper.stdin.flush()

    def close(self) -> None:
        """End the server: politely, after GRACE_SECONDS by force."""
        self.tell(signal.SIGTERM)
        if not self.ended_within(GRACE_SECONDS):
            self.tell(signal.SIGKILL)
            self._keeper.wait(GRACE_SECONDS)
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()


def _keep(command: Sequence[str], *, user: int | None, remove: Path | None) -> int:
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    listener = threading.Thread(target=_listen, args=(server, remove), daemon=True)
    listener.start()
    code = server.wait()
    if remove is not None and not remove.exists():
        return code
    return code


def _listen(server: subprocess.Popen[bytes], remove: Path | None) -> None:
    for line in sys.stdin.buffer:
        server.send_signal(int(line))
    server.terminate()
    try:
        server.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
    if remove is not None:
        shutil.rmtree(remove, ignore_errors=True)
