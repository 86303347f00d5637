"""The folder that OpenSSH wants of root: made for as long as a cloud has hosts, if nobody had it.

A service of the machine makes it at boot, where one is installed. Clouds that find none make it,
and each leaves a mark in it: the last one to go removes it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna_engine.cloud.local.records import Records

PLACE = Path("/run/sshd")
_MARK = "savanna-"


def use(records: Records, place: Path = PLACE) -> None:
    """Make the folder, or find it, for a host of this cloud that was begun."""
    with _locked(place.parent):
        if not place.exists():
            place.mkdir(mode=0o755)
        elif not any(each.name.startswith(_MARK) for each in place.iterdir()):
            # It is the machine's: it stays.
            return
        (place / f"{_MARK}{records.cloud_id}").mkdir(exist_ok=True, mode=0o755)


def leave(records: Records, place: Path = PLACE) -> None:
    """Take the cloud's mark away once no host of it is left, and the folder with the last mark."""
    mark = place / f"{_MARK}{records.cloud_id}"
    if not mark.exists():
        return
    with _locked(place.parent):
        if records.instance_ids():
            return
        # Another engine of this cloud may be quicker; other clouds may go on.
        with suppress(FileNotFoundError):
            mark.rmdir()
        with suppress(OSError):
            place.rmdir()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
