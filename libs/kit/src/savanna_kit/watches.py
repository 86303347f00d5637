"""Streams that last until their caller leaves: a process that ends must end them first."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from savanna_kit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Watches:
    """Streams under way; ``end`` is a drain of their service."""

    def __init__(self) -> None:
        self._open: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Be one of them for this block.

        Raises ``Unavailable`` in the middle of it when the process ends: callers go on elsewhere,
        or once it is back.
        """
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._open.add(limit)
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise Unavailable("this process ends; go on from where you are") from error
        finally:
            self._open.discard(limit)

    async def end(self) -> None:
        """End all."""
        now = asyncio.get_running_loop().time()
        for each in self._open:
            each.reschedule(now)
