"""The real Envoy, run with what ``savanna-manage envoy`` makes of a description."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from savanna_manage.envoy.trial import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMAND = str(Path(sys.executable).parent / "savanna-manage")
SECONDS = 20.0


@contextmanager
def running(
    folder: Path, description: dict[str, Any], *, inside: Sequence[str] = ()
) -> Iterator[Path]:
    """Run Envoy in front of what a description names, by another command if one is given; gives
    Envoy's own log."""
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
        deadline = time.monotonic() + SECONDS
        while "starting workers" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield log
    finally:
        process.terminate()
        process.wait(SECONDS)
