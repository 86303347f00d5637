"""Pieces of network between processes, which can be cut, fall silent, or hold everything back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_BLOCK = 64 * 1024


class Line:
    """Carries connections from one address to another, "host:port" or the path of a socket."""

    def __init__(self, near: str, far: str) -> None:
        self._near = near
        self._far = far
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to carry connections."""
        self._server = await _listen(self._near, self._accept)

    def cut(self) -> None:
        """Break all connections, with what is on its way; new ones are carried again."""
        for each in self._writers:
            each.transport.abort()

    def hang(self) -> None:
        """Carry nothing any more: connections stay, new ones are taken, and nobody is heard."""
        self._flowing.clear()

    def flow(self) -> None:
        """Carry everything again, what was held back first."""
        self._flowing.set()

    async def close(self) -> None:
        """Break all connections, and take none any more."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._flowing.wait()
            with suppress(OSError):
                await self._carry((reader, writer), await _connect(self._far))
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _carry(self, near: Streams, far: Streams) -> None:
        self._writers.add(far[1])
        try:
            # When either side ends, so does the whole.
            there = asyncio.ensure_future(self._pump(near[0], far[1]))
            back = asyncio.ensure_future(self._pump(far[0], near[1]))
            try:
                await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
        finally:
            self._writers.discard(far[1])
            far[1].transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_BLOCK):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()


async def _listen(address: str, accept: Callable[..., Awaitable[None]]) -> asyncio.Server:
    if address.startswith("/"):
        return await asyncio.start_unix_server(accept, address)
    host, _, port = address.rpartition(":")
    return await asyncio.start_server(accept, host, int(port))


async def _connect(address: str) -> Streams:
    if address.startswith("/"):
        return await asyncio.open_unix_connection(address)
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))
