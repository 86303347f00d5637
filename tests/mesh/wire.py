"""HTTP/1.1 over TLS in few processor milliseconds: connections that are kept, whole answers."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    body: bytes


class Wire:
    """Connections to one address; each carries one request at a time."""

    def __init__(self, address: str, trust: ssl.SSLContext, headers: Mapping[str, str]) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._trust = trust
        self._head = f"Host: {address}\r\n{_lines(headers)}"
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request.

        Raises ``OSError`` or ``EOFError`` when the connection is lost.
        """
        content = b"" if body is None else json.dumps(body).encode()
        sized = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        lines = _lines({**(headers or {}), **(sized if content else {})})
        reader, writer = self._idle.pop() if self._idle else await self._connect()
        try:
            writer.write(f"{method} {path} HTTP/1.1\r\n{self._head}{lines}\r\n".encode() + content)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            length = next(each for each in head if each.startswith("content-length:"))
            answer = await reader.readexactly(int(length.partition(":")[2]))
        except BaseException:
            writer.close()
            raise
        if "connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return Answer(int(head[0].split()[1]), answer)

    async def close(self) -> None:
        """Close all connections."""
        for _, writer in self._idle:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        self._idle.clear()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, int(self._port), ssl=self._trust)


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
