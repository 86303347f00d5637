"""A disk that is small, and becomes full when a test wants it."""

from __future__ import annotations

import os
import resource
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK = bytes(4096)


class SmallDisk:
    """A folder on a file system of its own; for a plain user, one in which no file may grow."""

    def __init__(self, folder: Path, *, is_mounted: bool) -> None:
        self.folder = folder
        self._is_mounted = is_mounted
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave no space."""
        if not self._is_mounted:
            largest = max((each.stat().st_size for each in self.folder.iterdir()), default=0)
            _limit_files(largest)
            return
        with self._ballast.open("ab", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(_CHUNK)
            except OSError:
                return

    def free(self) -> None:
        """Give the space back."""
        if not self._is_mounted:
            _limit_files(resource.RLIM_INFINITY)
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, *, mebibytes: int = 4) -> Iterator[SmallDisk]:
    """Mount a small disk on a folder that is made for it; it is gone after the block."""
    folder.mkdir()
    is_mounted = os.geteuid() == 0
    if is_mounted:
        options = f"size={mebibytes}m,mode=0700"
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "savanna-test", str(folder)], check=True
        )
    disk = SmallDisk(folder, is_mounted=is_mounted)
    try:
        yield disk
    finally:
        disk.free()
        if is_mounted:
            # Lazily: what still has a file open there shall not keep it.
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _limit_files(size: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
