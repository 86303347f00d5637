"""A piece of network breaks as it is told to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.chaos.line import Line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def echo(folder: Path) -> AsyncIterator[tuple[Line, str]]:
    """Serve an echo behind a line; gives the line and where it begins."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_unix_server(answer, f"{folder}/far")
    line = Line(f"{folder}/near", f"{folder}/far")
    await line.open()
    try:
        yield line, f"{folder}/near"
    finally:
        await line.close()
        server.close()


async def test_a_line_carries_what_is_said(tmp_path: Path) -> None:
    async with echo(tmp_path) as (_, near):
        reader, writer = await asyncio.open_unix_connection(near)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()


async def test_a_cut_line_breaks_what_there_is_and_carries_what_comes(tmp_path: Path) -> None:
    async with echo(tmp_path) as (line, near):
        reader, writer = await asyncio.open_unix_connection(near)
        writer.write(b"hello")
        await reader.readexactly(5)
        line.cut()
        assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_unix_connection(near)
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        writer.close()


async def test_a_hanging_line_is_silent_until_it_flows(tmp_path: Path) -> None:
    async with echo(tmp_path) as (line, near):
        reader, writer = await asyncio.open_unix_connection(near)
        line.hang()
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.readexactly(5)
        line.flow()
        assert await reader.readexactly(5) == b"hello"
        writer.close()
