"""Services that are ended and started again, one after the other, while users work."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from savanna.api.v1.catalog_service_pb2 import ListNodeGroupTemplatesRequest
from tests.mesh.load import RATE, at_work
from tests.mesh.plans import plan_of
from tests.spark.user import BUSY

if TYPE_CHECKING:
    from savanna_all_in_one.mesh import Mesh
    from tests.mesh.load import Story
    from tests.mesh.plans import WholePlan

pytestmark = pytest.mark.timeout(BUSY)

ROLES = ("api-1", "conductor-1", "scheduler-1", "engine-1")
TWO_HEALTH_INTERVALS = 2.2
"""Seconds; Envoy asks once in a second."""


async def test_services_that_are_ended_in_order_cost_no_request_and_no_launch(
    simulated: Mesh,
) -> None:
    plan = plan_of(simulated)
    async with at_work(plan) as story:
        await asyncio.sleep(1.0)
        for name in ROLES:
            await asyncio.to_thread(simulated.stop, name)
            await back(simulated, name)
    sys.stderr.write(f"{story}\n")
    assert story.failures == []
    assert story.failed_launches == []
    await check(plan, story)


async def test_services_that_are_killed_cost_only_what_is_sent_again_with_its_key(
    simulated: Mesh,
) -> None:
    plan = plan_of(simulated)
    async with at_work(plan, again=True) as story:
        await asyncio.sleep(1.0)
        for name in ROLES:
            simulated.kill(name)
            await back(simulated, name)
    sys.stderr.write(f"{story}\n")
    assert story.failures == []
    assert story.failed_launches == []
    await check(plan, story)


async def back(mesh: Mesh, name: str) -> None:
    """Leave a service away until its absence was seen, and its return until that was."""
    await asyncio.sleep(TWO_HEALTH_INTERVALS)
    mesh.start(name)
    await asyncio.to_thread(mesh.wait, name)
    await asyncio.sleep(TWO_HEALTH_INTERVALS)


async def check(plan: WholePlan, story: Story) -> None:
    """Every write that was acknowledged is there once, and there was something to see."""
    assert len(story.seconds) >= RATE * 10
    assert story.launches >= 1
    async with plan.client() as client:
        stored = await client.whole(
            client.catalog.ListNodeGroupTemplates, ListNodeGroupTemplatesRequest(page_size=1000)
        )
    names = [each.name for each in stored.templates]
    assert len(names) == len(set(names))
    assert story.written <= set(names)
