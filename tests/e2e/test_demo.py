"""The demo cleans up after itself, also when it is stopped in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from tests.e2e.leftovers import Trail

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMO = Path(__file__).resolve().parent.parent.parent / "tools" / "demo"
SECONDS = 120.0

pytestmark = pytest.mark.timeout(2 * SECONDS)


def test_ctrl_c_during_the_launch_removes_the_cluster_and_leaves_nothing() -> None:
    with demo() as process:
        assert process.stdout is not None
        data = Path(said(process.stdout, "logs in ").split()[-1])
        said(process.stdout, "savanna cluster create")
        until_hosts_are_made(data / "hosts")
        trail = Trail(data / "hosts").follow()
        services = mentioned(data.parent)
        # To all that is in the terminal, as a terminal does.
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(SECONDS) == 130, rest
    assert "is gone" in rest, rest
    assert trail.found() == []
    assert services
    assert mentioned(data.parent) == []
    assert not data.parent.exists()


@contextmanager
def demo() -> Iterator[subprocess.Popen[str]]:
    """Start the demo; in the end it is asked to clean up, and a second time to do so by force."""
    process = subprocess.Popen(
        [sys.executable, str(DEMO)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        try:
            process.terminate()
            process.communicate(timeout=SECONDS / 4)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.communicate(timeout=SECONDS / 4)


def said(stream: IO[str], words: str) -> str:
    """Read up to the line that has these words."""
    seen = []
    for line in stream:
        if words in line:
            return line
        seen.append(line)
    raise AssertionError(f"it never says {words!r}: {''.join(seen)}")


def until_hosts_are_made(root: Path) -> None:
    """Wait until a local cloud has begun to make a host."""
    deadline = time.monotonic() + SECONDS
    while not list(root.glob("hosts/*/*")):
        assert time.monotonic() < deadline, "no host was made"
        time.sleep(0.02)


def mentioned(folder: Path) -> list[str]:
    """List the processes that were told of a folder, by their environment."""
    found = []
    for each in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in each.read_bytes():
                found.append(each.parent.name)
        except OSError:
            continue
    return found
