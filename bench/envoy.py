"""The real Envoy, run with what ``savanna-manage envoy`` makes of a description of a mesh."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bench import clocks
from savanna_manage.envoy.trial import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMAND = str(Path(sys.executable).parent / "savanna-manage")
_SECONDS = 20.0


class Envoy:
    """An Envoy that serves."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self.log = log

    def cpu(self) -> float:
        """Give its CPU seconds so far."""
        return clocks.spent(self._process.pid)

    def wait_until_it_works(self) -> None:
        """Wait until it serves.

        Raises ``RuntimeError`` with the end of its log when it does not.
        """
        deadline = time.monotonic() + _SECONDS
        while "starting workers" not in self.log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Envoy does not serve:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.02)


@contextmanager
def running(
    folder: Path, description: dict[str, Any], *, inside: Sequence[str] = ()
) -> Iterator[Envoy]:
    """Run Envoy in front of what a description names, by another command if one is given, with its
    files in a folder."""
    mesh, bootstrap, log = folder / "mesh.yaml", folder / "envoy.yaml", folder / "envoy.log"
    mesh.write_text(yaml.safe_dump(description))
    subprocess.run(
        [COMMAND, "envoy", str(mesh), "-o", str(bootstrap)], check=True, stdout=subprocess.DEVNULL
    )
    words = [
        *("-c", str(bootstrap), "--concurrency", "1", "--file-flush-interval-msec", "50"),
        *("--use-dynamic-base-id", "--disable-hot-restart"),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*inside, program(), *words], stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        envoy = Envoy(process, log)
        envoy.wait_until_it_works()
        yield envoy
    finally:
        process.terminate()
        process.wait(_SECONDS)
