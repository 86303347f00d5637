"""Every plugin of this repository keeps the promises of docs/contract/plugin.md, over the wire."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from savanna_kit.serving import running
from savanna_plugin_fake.example import EXAMPLE as FAKE_EXAMPLE
from savanna_plugin_fake.plugin import FakePlugin
from savanna_plugin_spark.example import EXAMPLE as SPARK_EXAMPLE
from savanna_plugin_spark.plugin import SparkPlugin
from savanna_pluginkit import PluginSettings, build
from savanna_pluginkit.conformance import CHECKS, Broken, name_of, session

if TYPE_CHECKING:
    from savanna_pluginkit import Plugin
    from savanna_pluginkit.conformance import Check, Example

CONTRACT = Path(__file__).parents[2] / "docs" / "contract" / "plugin.md"


def worked_example() -> tuple[type[Plugin], Example]:
    """Read the plugin that the contract shows, and what it says of it."""
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", CONTRACT.read_text(), re.M | re.S):
        exec(block, names)
    return names["WebPlugin"], names["EXAMPLE"]


PLUGINS: list[tuple[type[Plugin], Example]] = [
    (FakePlugin, FAKE_EXAMPLE),
    (SparkPlugin, SPARK_EXAMPLE),
    worked_example(),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize(("kind", "example"), PLUGINS, ids=[kind.__name__ for kind, _ in PLUGINS])
async def test_plugin(check: Check, kind: type[Plugin], example: Example) -> None:
    parts = build(kind(), PluginSettings(listen="127.0.0.1:0"))
    broken = ""
    async with running([parts]), session(parts.addresses[0], example) as asked:
        try:
            await check(asked)
        except Broken as error:
            broken = str(error)
    assert not broken


def test_the_contract_names_every_promise() -> None:
    text = " ".join(CONTRACT.read_text().split())
    assert [name_of(each) for each in CHECKS if f"`{name_of(each)}`" not in text] == []
