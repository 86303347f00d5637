"""Every plugin of this repository keeps the promises of docs/contract/plugin.md, over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna_kit.serving import running
from savanna_plugin_fake.example import EXAMPLE as FAKE_EXAMPLE
from savanna_plugin_fake.plugin import FakePlugin
from savanna_plugin_spark.example import EXAMPLE as SPARK_EXAMPLE
from savanna_plugin_spark.plugin import SparkPlugin
from savanna_pluginkit import PluginSettings, build
from savanna_pluginkit.conformance import CHECKS, name_of, session

if TYPE_CHECKING:
    from savanna_pluginkit import Plugin
    from savanna_pluginkit.conformance import Check, Example

PLUGINS: list[tuple[type[Plugin], Example]] = [
    (FakePlugin, FAKE_EXAMPLE),
    (SparkPlugin, SPARK_EXAMPLE),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize(("kind", "example"), PLUGINS, ids=[kind.__name__ for kind, _ in PLUGINS])
async def test_plugin(check: Check, kind: type[Plugin], example: Example) -> None:
    parts = build(kind(), PluginSettings(listen="127.0.0.1:0"))
    async with running([parts]), session(parts.addresses[0], example) as asked:
        await check(asked)
