"""What the scripts of all peers share: they are asked on stdin and answer on stdout, a line each.

"W1 10000" asks for 10,000 tasks that need nothing, "W3 1000" for a chain of 1,000. The answer is
the seconds that it took. All that systems print goes to stderr.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER, DATABASE = "PEER_FOLDER", "PEER_DATABASE"
"""Environment variables: where a system may write, and the URL of the empty PostgreSQL database
that it gets."""

PATIENCE = 600.0
"""Seconds that anything may take."""

LOOK = 0.01
"""Seconds between two looks at whether all is done."""

_STOP_SECONDS = 5.0


def answer(workloads: dict[str, Callable[[int], None]]) -> None:
    """Do the workloads that are asked for, until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        workload, number = line.split()
        begun = time.perf_counter()
        workloads[workload](int(number))
        print(time.perf_counter() - begun, file=answers, flush=True)


def folder() -> Path:
    """Say where this system may write."""
    return Path(os.environ[FOLDER])


def database(driver: str = "") -> str:
    """Give the URL of the database, for SQLAlchemy with the name of a driver."""
    _, _, place = os.environ[DATABASE].partition(":")
    return f"postgresql{driver and '+'}{driver}:{place}"


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program beside this one, and end it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(is_so: Callable[[], bool], pause: float = LOOK) -> None:
    """Wait until something is so.

    Raises ``TimeoutError``.
    """
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {PATIENCE:.0f} s")
        time.sleep(pause)
