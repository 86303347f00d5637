"""The command ``savanna-plugin-spark``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from savanna_plugin_spark.plugin import SparkPlugin
from savanna_pluginkit import PluginSettings, prefixed, serve
from savanna_pluginkit import build as build_plugin

if TYPE_CHECKING:
    from savanna_kit.serving import Parts
    from savanna_kit.settings import ServiceSettings


class SparkSettings(PluginSettings):
    """The Spark plugin: Apache Spark 4 in standalone mode."""

    model_config = prefixed("PLUGIN_SPARK")

    listen: str = Field(
        "127.0.0.1:8395", description="Where gRPC is served: host:port or unix:/path."
    )


def build(given: ServiceSettings) -> Parts:
    """Build the service."""
    return build_plugin(SparkPlugin(), given)


def main() -> None:
    """Serve until SIGTERM."""
    serve(SparkPlugin(), SparkSettings)
