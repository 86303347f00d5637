"""CPU seconds of processes, read from proc(5)."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICKS = os.sysconf("SC_CLK_TCK")


def spent(pid: int) -> float:
    """Give the CPU seconds of a process and of its children that have ended; 0 when it is gone.

    The clock has steps of 10 ms.
    """
    try:
        text = Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return 0.0
    # utime, stime, cutime and cstime; the name before them may hold spaces.
    return sum(map(int, text.rpartition(")")[2].split()[11:15])) / _TICKS


def spent_below(pids: Iterable[int]) -> float:
    """Give the CPU seconds of processes and of all their descendants."""
    return sum(spent(pid) for pid in _with_descendants(pids))


def spent_here() -> float:
    """Give the CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _with_descendants(pids: Iterable[int]) -> set[int]:
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        try:
            threads = os.listdir(f"/proc/{pid}/task")
            children = [Path(f"/proc/{pid}/task/{each}/children").read_text() for each in threads]
        except OSError:
            continue
        waiting += [int(child) for line in children for child in line.split()]
    return found
