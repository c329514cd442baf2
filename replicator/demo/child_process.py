"""A server process that never outlives whoever started it.

The server's parent is the very file, run as a program.
It waits for our pipe to close, by whatever death, then ends the server and removes the files.
A parent-death signal would do less: only Linux has it, it follows a thread, it removes nothing.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_SECONDS = 15.0
"""PostgreSQL itself waits five seconds for its sessions before it ends them by force; whoever kills
it before that leaves sessions behind, which hold the memory that its next start asks for."""


class Leashed:
    """A server that ends when its owner closes the pipe, or dies."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str],
        stop_signal: signal.Signals = signal.SIGTERM,
        user: int | None = None,
        remove: Path | None = None,
    ) -> None:
        """Start `command`, as `user` when given, with everything it prints appended to `log`.

        `remove` is deleted if we die without having closed; otherwise it is the caller's.
        """
        self._stop_signal = stop_signal
        options = [f"--stop-signal={stop_signal.value}"]
        options += [] if user is None else [f"--user={user}"]
        options += [] if remove is None else [f"--remove={remove}"]
        with log.open("ab") as output:
            self._keeper = subprocess.Popen(
                [sys.executable, "-IS", __file__, *options, "--", *map(str, command)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=dict(environment),
                cwd="/",
                start_new_session=True,  # Ctrl-C is for us; we then end our servers in order
            )

    def ended_within(self, seconds: float) -> bool:
        """Wait so long at most; whether the server has ended."""
        try:
            self._keeper.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def tell(self, number: signal.Signals) -> None:
        """Pass a signal on to the server; without effect once it has ended."""
        assert self._keeper.stdin is not None  # noqa: S101  # it was asked for above
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._keeper.stdin.write(b"%d\n" % number)

    def close(self, stop_signal: signal.Signals | None = None) -> None:
        """End the server: politely, after GRACE_SECONDS by force."""
        self.tell(stop_signal or self._stop_signal)
        if not self.ended_within(GRACE_SECONDS):
            self.tell(signal.SIGKILL)
            self._keeper.wait()
        assert self._keeper.stdin is not None  # noqa: S101
        self._keeper.stdin.close()


def keep(
    command: Sequence[str], *, stop_signal: signal.Signals, user: int | None, remove: Path | None
) -> int:
    """Run a server until it ends or standard input closes; return the exit code."""
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    abandoned = threading.Event()

    def listen() -> None:
        # unbuffered: an interpreter ends in a fatal error while a thread holds a buffer's lock
        with open(0, "rb", buffering=0, closefd=False) as told:
            for line in told:
                server.send_signal(int(line))
        abandoned.set()
        server.send_signal(stop_signal)
        try:
            server.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)

    threading.Thread(target=listen, daemon=True).start()
    code = server.wait()
    if abandoned.is_set() and remove is not None:
        shutil.rmtree(remove, ignore_errors=True)
    return code


def main() -> int:
    """Read the command line that Leashed writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stop-signal", type=int, required=True)
    parser.add_argument("--user", type=int)
    parser.add_argument("--remove", type=Path)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    return keep(
        given.command,
        stop_signal=signal.Signals(given.stop_signal),
        user=given.user,
        remove=given.remove,
    )


if __name__ == "__main__":
    sys.exit(main())
