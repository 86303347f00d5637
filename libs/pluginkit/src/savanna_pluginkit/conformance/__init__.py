"""The conformance suite of plugins: promises, asked of a plugin at its address.

In a test::

    @pytest.mark.parametrize("check", CHECKS, ids=name_of)
    async def test_plugin(check: Check) -> None:
        async with session("127.0.0.1:8394", EXAMPLE) as asked:
            await check(asked)

Or by hand: ``python -m savanna_pluginkit.conformance 127.0.0.1:8394 my_package.example:EXAMPLE``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from savanna.plugin.v1 import plugin_service_pb2_grpc
from savanna_kit.channels import connect
from savanna_pluginkit.conformance.checks import CHECKS
from savanna_pluginkit.conformance.driving import Broken, Session
from savanna_pluginkit.conformance.example import (
    Example,
    JobExample,
    Refused,
    cluster,
    job,
    set_config,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = [
    "CHECKS",
    "Broken",
    "Check",
    "Example",
    "JobExample",
    "Refused",
    "Session",
    "cluster",
    "job",
    "name_of",
    "session",
    "set_config",
]

Check = Callable[[Session], Awaitable[None]]


@asynccontextmanager
async def session(address: str, example: Example) -> AsyncIterator[Session]:
    """Open a session with the plugin at an address."""

    async with connect(address) as channel:
        yield Session(plugin_service_pb2_grpc.PluginServiceStub(channel), example)


def name_of(check: Check) -> str:
    """Give the promise in words."""
    return getattr(check, "__name__", "check").replace("_", " ")
