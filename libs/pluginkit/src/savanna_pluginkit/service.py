"""Serving a plugin: as a command of its own, or inside a process that has more in it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from savanna.plugin.v1 import plugin_service_pb2_grpc
from savanna_kit import serving
from savanna_kit.executors import BoundedExecutor
from savanna_kit.settings import ServiceSettings
from savanna_pluginkit.plugin import Plugin
from savanna_pluginkit.servicer import PluginServicer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ENTRY_POINTS = "savanna.plugins"
"""Group of entry points under which distributions name their plugin classes."""

_SERVICE = "savanna.plugin.v1.PluginService"
_THREADS = 2


class PluginSettings(ServiceSettings):
    """What every plugin can be told.

    A plugin's own class sets ``model_config = prefixed("PLUGIN_<NAME>")`` and where it listens.
    """


def build(plugin: Plugin, given: ServiceSettings) -> serving.Parts:
    """Make a service out of a plugin."""
    threads = BoundedExecutor("plugin", _THREADS)

    @asynccontextmanager
    async def closing() -> AsyncIterator[None]:
        try:
            yield
        finally:
            threads.close()

    return serving.Parts(
        name=f"plugin-{plugin.about.name}",
        listen=given.listen,
        identity=given.identity(),
        drain_seconds=given.drain_seconds,
        resources=[closing()],
        served=[
            serving.Served(
                _SERVICE,
                plugin_service_pb2_grpc.add_PluginServiceServicer_to_server,
                PluginServicer(plugin, threads),
                callers=frozenset({"api", "engine"}),
            )
        ],
    )


def serve(plugin: Plugin, settings: type[PluginSettings]) -> None:
    """Run a plugin as a command until SIGTERM."""
    serving.main(settings, lambda given: build(plugin, given))


def installed() -> dict[str, type[Plugin]]:
    """Find the plugin classes of all installed distributions, by name of their entry point."""
    found = {}
    for each in sorted(entry_points(group=ENTRY_POINTS), key=lambda each: each.name):
        kind = each.load()
        if not (isinstance(kind, type) and issubclass(kind, Plugin)):
            raise TypeError(f"the entry point {each.name} of {ENTRY_POINTS} is not a Plugin class")
        found[each.name] = kind
    return found
