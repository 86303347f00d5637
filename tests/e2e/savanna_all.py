"""``savanna-all`` as a process that is killed in the end, as by a power cut, and its purge."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from savanna_engine.cloud.local.driver import purge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

COMMAND = str(Path(sys.executable).parent / "savanna-all")


@contextmanager
def savanna_all(
    folder: Path, *, by: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run it on a data directory, by another command if one is given; gives its gRPC address.

    Its hosts outlive it: ``swept`` removes them however a test ends.
    """
    address = f"unix:{folder.parent}/{folder.name}-api"
    command = [*by, COMMAND, "--data-dir", str(folder), "--grpc", address]
    command += ["--rest", "127.0.0.1:0", "--cloud", "local"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Savanna serves"), line
        yield address
    finally:
        process.kill()
        process.communicate(timeout=20)


@contextmanager
def swept(folder: Path) -> Iterator[Path]:
    """Give a data directory of which in the end no host is left."""
    try:
        yield folder
    finally:
        purge(folder / "hosts")


def purged(
    folder: Path, *, by: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> str:
    """Remove every host that a data directory ever made; give what the command says."""
    done = subprocess.run(
        [*by, COMMAND, "--purge", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
