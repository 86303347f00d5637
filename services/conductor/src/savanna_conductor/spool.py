"""Uploads until all their bytes are there: no transaction ever waits for the network."""

from __future__ import annotations

import hashlib
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from savanna_kit.errors import ResourceExhausted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_IN_MEMORY = 2**20


class Spool:
    """Bytes of one upload, at first in memory, large ones in a file that has no name."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by __exit__
        self._digest = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes in hexadecimal digits."""
        return self._digest.hexdigest()

    def add(self, data: bytes) -> None:
        """Add bytes.

        Raises ``ResourceExhausted`` over the limit.
        """
        self.size += len(data)
        if self.size > self._limit:
            raise ResourceExhausted(
                f"a job binary may have at most {self._limit} bytes: make it smaller, or let the "
                "operator raise SAVANNA_CONDUCTOR_JOB_BINARY_LIMIT",
                reason="JOB_BINARY_TOO_LARGE",
            )
        self._digest.update(data)
        self._file.write(data)

    def pieces(self, size: int) -> Iterator[bytes]:
        """Give all bytes in pieces of a size."""
        self._file.seek(0)
        while data := self._file.read(size):
            yield data
