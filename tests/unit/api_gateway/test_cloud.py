"""Engines that fall silent: who asks what the cloud offers hardly notices."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from savanna_api_gateway.cloud import Cloud
from savanna_kit import errors, serving
from savanna_kit.channels import connect
from savanna_kit.clock import ManualClock
from tests.unit.api_gateway import neighbours

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LESS_THAN_AN_ANSWER_IS_WAITED_FOR = 8.0
"""Seconds; an engine that says nothing is given up after ten."""


class Hanging(neighbours.CloudService):
    """Takes calls and never answers."""

    async def GetCatalog(self, request: object, context: object) -> Any:
        await asyncio.Event().wait()

    async def ListOrphans(self, request: object, context: object) -> Any:
        await asyncio.Event().wait()


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    """Two engines, of which the first is silent; nothing is kept."""
    engines = []
    for name, servicer in (("e1", Hanging()), ("e2", neighbours.CloudService())):
        (tmp_path / name).mkdir()
        engines.append(neighbours.engine(tmp_path / name, servicer))
    async with serving.running(engines):
        addresses = [each.addresses[0] for each in engines]
        async with connect(addresses[0]) as first, connect(addresses[1]) as second:
            channels = {"engine-1": first, "engine-2": second}
            yield Cloud(channels, clock=ManualClock(), cache_seconds=0)


async def test_a_silent_engine_is_not_waited_for_while_another_answers(cloud: Cloud) -> None:
    async with asyncio.timeout(LESS_THAN_AN_ANSWER_IS_WAITED_FOR):
        assert (await cloud.catalog("p1")).flavors


async def test_an_engine_that_was_silent_is_asked_last(cloud: Cloud) -> None:
    await cloud.catalog("p1")
    async with asyncio.timeout(LESS_THAN_AN_ANSWER_IS_WAITED_FOR):
        # One after the other would be asked, and the first for thirty seconds.
        assert not (await cloud.orphans()).orphans


async def test_many_who_ask_at_once_wait_together(cloud: Cloud) -> None:
    async with asyncio.timeout(LESS_THAN_AN_ANSWER_IS_WAITED_FOR):
        found = await asyncio.gather(*(cloud.catalog(f"p{number}") for number in range(20)))
    assert all(each.flavors for each in found)


async def test_where_nobody_answers_that_is_said(tmp_path: Path) -> None:
    async with connect(f"unix:{tmp_path}/nobody") as channel:
        nobody = Cloud({"engine-1": channel}, clock=ManualClock(), cache_seconds=0)
        with pytest.raises(errors.Unavailable, match=r"start an engine and try again \(engine-1: "):
            await nobody.catalog("p1")
