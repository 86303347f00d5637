"""REST over connections that stay open, with as little of this process's own CPU as can be."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class WebError(Exception):
    """An answer that was not expected; the text holds it."""


class Line:
    """One connection; one request at a time, others wait for their turn."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    async def ask(self, request: bytes, status: int = 200) -> bytes:
        """Send a request and give the body of its answer.

        Raises ``WebError`` for another status.
        """
        async with self._turn:
            self._writer.write(request)
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            body = await self._reader.readexactly(int(length or 0))
        if int(head[9:12]) != status:
            raise WebError(f"{head[9:12].decode()}, not {status}: {body[:500]!r}")
        return body

    async def json(self, request: bytes, status: int = 200) -> Any:  # noqa: ANN401 - JSON
        """Send a request and read its answer as JSON."""
        return json.loads(await self.ask(request, status))


def request(method: str, path: str, body: object = None) -> bytes:
    """Write a request down."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: savanna\r\nContent-Length: {len(data)}\r\n"
    if data:
        head += "Content-Type: application/json\r\n"
    return head.encode() + b"\r\n" + data


@asynccontextmanager
async def line_to(address: str) -> AsyncIterator[Line]:
    """Open a connection to host:port."""
    host, _, port = address.rpartition(":")
    # The list of a hundred clusters is longer than a reader's usual limit.
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()
