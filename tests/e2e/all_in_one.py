"""``savanna-all`` as its users start it: the command, its one line, its end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from savanna.api.v1 import catalog_service_pb2 as catalog
from savanna_client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from savanna.cluster.v1 import cloud_pb2

COMMAND = str(Path(sys.executable).parent / "savanna-all")
ANY_PORT = "127.0.0.1:0"
SECONDS = 60.0
_READY = re.compile(
    r"Savanna serves: REST (?P<rest>\S+), gRPC (?P<grpc>\S+), logs in (?P<log>.+)\n"
)


class Running:
    """A process of ``savanna-all`` that serves."""

    def __init__(self, process: subprocess.Popen[str], line: str) -> None:
        found = _READY.fullmatch(line)
        assert found is not None, f"it does not say that it serves: {line!r}"
        self.process = process
        self.line = line
        self.rest = found["rest"]
        self.grpc = found["grpc"]
        self.log = Path(found["log"])

    def client(self, token: str = "") -> Client:
        """Give a client, not yet connected."""
        return Client(self.grpc, token)

    def cloud(self, token: str = "") -> cloud_pb2.CloudCatalog:
        """Ask what its cloud offers."""

        async def ask() -> cloud_pb2.CloudCatalog:
            async with self.client(token) as client:
                return (await client.catalog.GetCloud(catalog.GetCloudRequest())).cloud

        return asyncio.run(ask())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; gives the exit code once it has ended."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


@contextmanager
def running(
    folder: Path,
    *flags: str,
    settings: Mapping[str, str] | None = None,
    command: str = COMMAND,
) -> Iterator[Running]:
    """Run ``savanna-all`` on a data directory, at free ports, until the block ends."""
    process = subprocess.Popen(
        [command, "--data-dir", str(folder), "--rest", ANY_PORT, "--grpc", ANY_PORT, *flags],
        env={**os.environ, **(settings or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield Running(process, process.stdout.readline())
        finally:
            process.kill()
            process.wait(SECONDS)


def refused(*words: str, settings: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run ``savanna-all`` where it ends at once; gives the exit code and all that it wrote."""
    done = subprocess.run(
        [COMMAND, *words],
        env={**os.environ, **(settings or {})},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def purged(folder: Path) -> str:
    """Remove every host of a data directory; gives what the command says."""
    code, text = refused("--purge", str(folder))
    assert code == 0, text
    return text
