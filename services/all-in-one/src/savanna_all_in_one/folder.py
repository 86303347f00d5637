"""The data directory: what lies where, one process at a time, sockets that nobody else reaches."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from savanna_kit.errors import FailedPrecondition, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_SOCKET_FOLDER = 80
"""A socket's path has 107 bytes at most (unix(7)); the rest is for its name."""


class DataFolder:
    """Names of everything that a data directory holds."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.database = self.path / "savanna.db"
        self.database_url = f"sqlite:///{self.database}"
        self.key_file = self.path / "savanna.key"
        self.log_file = self.path / "savanna.log"
        self.hosts = self.path / "hosts"
        self.cloud_id = self.hosts / "cloud-id"

    def make(self) -> None:
        """Make the folder, and in it what other users must not read where they may enter."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            for each in (self.database, self.log_file):
                each.touch(mode=0o600)
        except OSError as error:
            raise FailedPrecondition(
                f"the data directory {self.path} can not be made ({error.strerror}); "
                "choose another with --data-dir"
            ) from error

    def recognise(self) -> None:
        """Raise ``FailedPrecondition`` for a folder that holds neither a database nor hosts.

        One that can not be entered is left to ``held``, which says why.
        """
        # The folder of a mesh on PostgreSQL has no database in it.
        known = (self.database, self.cloud_id)
        if not os.access(self.path, os.X_OK) or any(map(os.path.exists, known)):
            return
        raise FailedPrecondition(
            f"{self.path} is no data directory: it has neither {self.database.name} nor "
            f"{self.cloud_id.relative_to(self.path)}; {self._meant()}"
        )

    def _meant(self) -> str:
        if os.path.exists(self.path / self.cloud_id.name):
            return f"it is the hosts folder of one: give {self.path.parent}"
        inner = DataFolder(self.path / "data")
        if os.path.exists(inner.cloud_id):
            return f"give {inner.path}"
        return "give the folder that --data-dir named"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out until the block ends.

        Raises ``FailedPrecondition`` when one is in, ``NotFound`` when there is no folder.
        """
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise NotFound(
                f"the data directory {self.path} can not be used ({error.strerror})"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise FailedPrecondition(
                f"another process uses {self.path}; end it, or choose another with --data-dir"
            ) from error
        try:
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def sockets(self) -> Iterator[Path]:
        """Make a folder for sockets that only this user may enter, and remove it at the end."""
        folder = self.path / "sockets"
        if len(str(folder)) > _LONGEST_SOCKET_FOLDER:
            folder = Path(tempfile.mkdtemp(prefix="savanna-"))
        else:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
