"""The directory of plugin servers: who answers now, and what they can do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna.plugin.v1 import plugin_service_pb2, plugin_service_pb2_grpc
from savanna_kit import context, errors, logs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import grpc

    from savanna_kit.clock import Clock

log = logs.get_logger(__name__)

_DESCRIBE_SECONDS = 2.0
_MISSING_SECONDS = 0.5
"""A plugin that is missing is looked for again soon: it may be about to start."""


@dataclass(frozen=True)
class _Known:
    address: str
    plugin: plugin_service_pb2.Plugin
    stub: plugin_service_pb2_grpc.PluginServiceAsyncStub


class PluginDirectory:
    """Knows plugins by name.

    One that does not answer is missing until it does.
    """

    def __init__(
        self, channels: Mapping[str, grpc.aio.Channel], *, clock: Clock, cache_seconds: float
    ) -> None:
        self._stubs = {
            address: plugin_service_pb2_grpc.PluginServiceStub(channel)
            for address, channel in channels.items()
        }
        self._clock = clock
        self._cache_seconds = cache_seconds
        self._known: dict[str, _Known] = {}
        self._silent: set[str] = set()
        """Names of plugins that do not answer now; empty for one that never did."""

        self._names: dict[str, str] = dict.fromkeys(channels, "")
        self._fresh_until = float("-inf")
        self._reading = asyncio.Lock()

    async def plugins(self) -> Sequence[plugin_service_pb2.Plugin]:
        """List those that answer, in order of name."""
        known = await self._current()
        return [known[name].plugin for name in sorted(known)]

    async def find(self, name: str) -> plugin_service_pb2.Plugin | None:
        """Look one up; None when there is none of this name.

        Raises ``Unavailable`` when one that does not answer has this name, or may have it.
        """
        known = (await self._current()).get(name)
        if known is None and not self._silent.isdisjoint({name, ""}):
            # Whoever asks is not at fault, and must not be told so.
            raise errors.Unavailable(
                f"the plugin {name!r} does not answer now: try again in a moment, "
                "and start its server if it does not run",
                reason="PLUGIN_UNAVAILABLE",
                metadata={"plugin_name": name},
                retry_after=1.0,
            )
        return known.plugin if known else None

    async def get(self, name: str) -> plugin_service_pb2.Plugin:
        """Look one up.

        Raises ``NotFound`` and ``Unavailable``.
        """
        plugin = await self.find(name)
        if plugin is None:
            answering = ", ".join(sorted(self._known)) or "none"
            raise errors.NotFound(
                f"there is no plugin {name!r}; those that answer now: {answering}",
                reason="PLUGIN_NOT_FOUND",
                metadata={"plugin_name": name},
            )
        return plugin

    async def validate(
        self, name: str, request: plugin_service_pb2.ValidateRequest
    ) -> Sequence[errors.FieldViolation]:
        """Ask a plugin what is wrong.

        Raises ``NotFound`` and ``Unavailable``.
        """
        await self.get(name)
        response = await self._known[name].stub.Validate(request)
        return [
            errors.FieldViolation(each.field, each.message, each.reason or "INVALID_DATA")
            for each in response.violations
        ]

    async def _current(self) -> Mapping[str, _Known]:
        if self._is_stale():
            async with self._reading:
                if self._is_stale():
                    await self._read()
        return self._known

    def _is_stale(self) -> bool:
        return self._clock.monotonic() >= self._fresh_until

    async def _read(self) -> None:
        answers = await asyncio.gather(
            *(self._describe(address, stub) for address, stub in self._stubs.items())
        )
        known: dict[str, _Known] = {}
        for each in answers:
            # The address named first wins, so that the same settings always mean the same plugin.
            if each is not None:
                known.setdefault(each.plugin.name, each)
                self._names[each.address] = each.plugin.name
        self._known = known
        heard = {each.address for each in answers if each is not None}
        self._silent = {name for address, name in self._names.items() if address not in heard}
        complete = all(each is not None for each in answers)
        kept = self._cache_seconds if complete else min(self._cache_seconds, _MISSING_SECONDS)
        self._fresh_until = self._clock.monotonic() + kept

    async def _describe(
        self, address: str, stub: plugin_service_pb2_grpc.PluginServiceAsyncStub
    ) -> _Known | None:
        try:
            response = await stub.Describe(
                plugin_service_pb2.DescribeRequest(), timeout=_DESCRIBE_SECONDS
            )
        except errors.SavannaError as error:
            log.warning(
                "plugin_missing",
                address=address,
                error=error.message,
                request_id=context.current().request_id,
            )
            return None
        return _Known(address, response.plugin, stub)
