"""Files of servers in memory, where the system has such a place: creating and dropping a database
makes and removes hundreds of them, which on a disk takes ten times as long as all else it does.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  # a file system in memory, where there is one
FREE_BYTES_MIN = 2 * 2**30
"""A container often has 64 MB there; the servers of all workers of xdist take a few hundred."""


def place_in_memory() -> Path | None:
    """A directory in memory with room for servers, their programs included; None: there is none."""
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)):
        return None
    may_hold_programs = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    has_room = shutil.disk_usage(MEMORY).free >= FREE_BYTES_MIN
    return MEMORY if may_hold_programs and has_room else None


@contextmanager
def new_files_in(place: Path | None) -> Iterator[None]:
    """Temporary files and directories that are made meanwhile lie there; None: in the usual."""
    before = tempfile.tempdir
    tempfile.tempdir = None if place is None else str(place)
    try:
        yield
    finally:
        tempfile.tempdir = before
