"""Finding and ending processes by the marks in their environment.

Every process of a host carries ``SAVANNA_CLOUD`` and ``SAVANNA_HOST``; whatever it starts inherits
them. So nothing has to be remembered to end all of it, also when the engine died between starting a
host and recording it.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

CLOUD_MARK = "SAVANNA_CLOUD"
HOST_MARK = "SAVANNA_HOST"


def marked(mark: str, value: str) -> list[int]:
    """List living processes that carry this mark, or whose command line names its value, and all
    they started.

    sshd writes its title over its environment, but the title names its configuration, which lies in
    the host's folder; its sessions have neither, so descendants count too. Others' unreadable
    processes are passed over.
    """
    wanted = f"{mark}={value}".encode()
    parents: dict[int, int] = {}
    found = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environment = Path("/proc", entry, "environ").read_bytes()
            command = Path("/proc", entry, "cmdline").read_bytes()
            parents[int(entry)] = int(_stat(int(entry))[1])
        except (OSError, IndexError):
            continue
        if wanted in environment.split(b"\0") or (
            command.startswith(b"sshd:") and value.encode() in command
        ):
            found.add(int(entry))
    return sorted(pid for pid in parents if _descends(pid, found, parents))


def _descends(pid: int, ancestors: set[int], parents: dict[int, int]) -> bool:
    while pid not in ancestors:
        if pid not in parents:
            return False
        pid = parents[pid]
    return True


def end_marked(mark: str, value: str, *, timeout: float = 10.0) -> bool:
    """Kill all processes with this mark and wait until they are gone; False if some are left after
    the time-out."""
    deadline = time.monotonic() + timeout
    while pids := marked(mark, value):
        if time.monotonic() > deadline:
            return False
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.005)
    return True


def start_time(pid: int) -> int:
    """When a process was started, in clock ticks since boot (field 22 of proc(5) stat); 0 when it
    is gone."""
    try:
        fields = _stat(pid)
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


def _stat(pid: int) -> list[str]:
    """Read the fields of proc(5) stat from the third, the state, on: a name may hold spaces."""
    return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
