"""The progress of a snapshot on stderr: a bar on a terminal, a line now and then elsewhere."""

import sys
from typing import TYPE_CHECKING

from replicator.cli.durations import in_words
from replicator.cli.output import print_note
from replicator.clock import SystemClock

if TYPE_CHECKING:
    from replicator.core.snapshot_status import SnapshotStatus

BAR_WIDTH = 24
LINE_SECONDS = 10.0


class Progress:
    """Shows one status after the other."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._terminal = sys.stderr.isatty()
        self._said_at = float("-inf")
        self._said = ""

    def show(self, status: "SnapshotStatus") -> None:
        """Show where it is now."""
        text = progress_text(status)
        if self._terminal:
            sys.stderr.write(f"\r\033[K{bar(status.done_share)} {text}")
            sys.stderr.flush()
            return
        now = self._clock.monotonic()
        if text != self._said and now - self._said_at >= LINE_SECONDS:
            self._said, self._said_at = text, now
            print_note(text)

    def close(self) -> None:
        """Leave the line."""
        if self._terminal:
            sys.stderr.write("\n")


def bar(share: float) -> str:
    """A bar that is full at 1."""
    full = int(share * BAR_WIDTH)
    return f"[{'#' * full}{'.' * (BAR_WIDTH - full)}] {share:4.0%}"


def progress_text(status: "SnapshotStatus") -> str:
    """Items, parts, and how long it may take."""
    if status.state == "asked":
        return "waiting for a worker"
    of = f" of about {status.items_estimated}" if status.items_estimated else ""
    text = f"{status.items}{of} items, {status.parts_done} of {status.parts} parts"
    if status.seconds_left is not None:
        text += f", about {in_words(status.seconds_left)} left"
    return text
