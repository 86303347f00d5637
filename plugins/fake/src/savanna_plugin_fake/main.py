"""The command ``savanna-plugin-fake``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from savanna_plugin_fake.plugin import FakePlugin
from savanna_pluginkit import PluginSettings, prefixed, serve
from savanna_pluginkit import build as build_plugin

if TYPE_CHECKING:
    from savanna_kit.serving import Parts
    from savanna_kit.settings import ServiceSettings


class FakeSettings(PluginSettings):
    """The fake plugin: the shipped test double."""

    model_config = prefixed("PLUGIN_FAKE")

    listen: str = Field(
        "127.0.0.1:8394", description="Where gRPC is served: host:port or unix:/path."
    )


def build(given: ServiceSettings) -> Parts:
    """Build the service."""
    return build_plugin(FakePlugin(), given)


def main() -> None:
    """Serve until SIGTERM."""
    serve(FakePlugin(), FakeSettings)
