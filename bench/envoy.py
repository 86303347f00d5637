"""The real Envoy before the gateway of a benchmark, on loopback without TLS."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from bench import clocks
from savanna_manage.envoy.trial import program

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 20.0


class Proxy:
    """An Envoy that listens for REST at an address, and its CPU clock."""

    def __init__(self, address: str, pid: int) -> None:
        self.address = address
        self._pid = pid

    def cpu(self) -> float:
        """Give its CPU seconds so far."""
        return clocks.spent(self._pid)


@contextmanager
def before(rest: str, address: str, folder: Path) -> Iterator[Proxy]:
    """Run Envoy at an address, made by ``savanna-manage envoy``, before a gateway's REST."""
    folder.mkdir()
    mesh, bootstrap, log = folder / "mesh.yaml", folder / "envoy.yaml", folder / "envoy.log"
    services = {"rest": {"listen": address, "at": [rest]}}
    mesh.write_text(
        yaml.safe_dump({"services": services, "access_log": str(folder / "access.log")})
    )
    command = str(Path(sys.executable).parent / "savanna-manage")
    subprocess.run(
        [command, "envoy", str(mesh), "-o", str(bootstrap)], check=True, stdout=subprocess.DEVNULL
    )
    words = ["-c", str(bootstrap), "--use-dynamic-base-id", "--disable-hot-restart"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [program(), *words, "--concurrency", "1"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        _wait_until_it_works(process, log)
        yield Proxy(address, process.pid)
    finally:
        process.terminate()
        process.wait(_SECONDS)


def _wait_until_it_works(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while "starting workers" not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Envoy does not serve; its log:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)
