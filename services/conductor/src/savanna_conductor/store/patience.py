"""An end for every wait for a database that has fallen silent in the middle of a conversation.

PostgreSQL ends long statements by itself. One that hangs, or a network that takes everything and
gives nothing back, does not: such a connection is cut from this side.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from savanna_kit import logs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

log = logs.get_logger(__name__)
_ENDING_SECONDS = 2.0


class Patience:
    """Knows since when each transaction of this process is under way; 0 seconds are for ever."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[Any, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def during(self, connection: Connection) -> Iterator[None]:
        """Watch a connection for as long as the block lasts."""
        if not self._seconds or connection.dialect.name == "sqlite":
            yield
            return
        line = connection.connection.dbapi_connection
        with self._lock:
            self._waiting[line] = time.monotonic() + self._seconds
        try:
            yield
        finally:
            with self._lock:
                self._waiting.pop(line, None)

    def cut_late(self) -> None:
        """Cut the connections of transactions that take too long: whoever waits for one is told
        that it is broken."""
        self._cut(time.monotonic())

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Cut whoever still waits when this block lasts for some seconds."""
        timer = threading.Timer(_ENDING_SECONDS, self._cut, [float("inf")])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self, now: float) -> None:
        with self._lock:
            for line in [each for each, due in self._waiting.items() if due <= now]:
                del self._waiting[line]
                log.warning("database_cut_off", seconds=self._seconds)
                _shut(line)


def _shut(line: Any) -> None:  # noqa: ANN401 - the driver's own connection
    # One that was closed meanwhile has no socket any more, or one that is broken already; it may
    # be closed between the question and the answer, too.
    with suppress(OSError, line.InterfaceError):
        if not line.closed:
            with socket.fromfd(line.fileno(), socket.AF_INET, socket.SOCK_STREAM) as copy:
                copy.shutdown(socket.SHUT_RDWR)
