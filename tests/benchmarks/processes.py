"""What processes used: CPU seconds and memory as the kernel counts them."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(*pids: int) -> float:
    """User and system time of these processes, and of the children they have waited for."""
    return sum(map(_own_cpu_seconds, pids))


def tree_cpu_seconds(pid: int) -> float:
    """The same with the children that still run, as PostgreSQL's sessions do."""
    return cpu_seconds(pid, *_children(pid))


def peak_megabytes(pid: int) -> float:
    """The most memory that was resident at a moment."""
    return _status_megabytes(pid, "VmHWM")


def resident_megabytes(pid: int) -> float:
    """The memory that is resident now."""
    return _status_megabytes(pid, "VmRSS")


def _own_cpu_seconds(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    fields = text.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return list(map(int, text.split()))


def _status_megabytes(pid: int, field: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024
