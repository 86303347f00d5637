"""Services that are ended and started again, one after the other, while users work."""

from __future__ import annotations

import asyncio
import json
import sys
import time
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

PAUSE = 1.0
"""Seconds for which a step that lacks nothing may wait while a service ends in order."""

IN_HAND = 2.0
"""Seconds after a kill in which what the killed one had in hand has failed."""


async def test_services_that_are_ended_in_order_cost_no_request_and_no_launch(
    simulated: Mesh,
) -> None:
    plan, codes, pauses = plan_of(simulated), {}, []
    async with at_work(plan) as story:
        await asyncio.sleep(1.0)
        for name in ROLES:
            begun = time.time()
            codes[name] = await asyncio.to_thread(simulated.stop, name)
            # Until it is started again.
            pauses.append((name, begun, time.time() + TWO_HEALTH_INTERVALS))
            await back(simulated, name)
    waits = {name: story.waits(begin, end) for name, begin, end in pauses}
    # In one of these moments there may be nothing to hand out, not in all.
    assert sum(map(len, waits.values())) > len(ROLES), "hardly anything was handed out meanwhile"
    longest = {name: max(found, default=(0.0, "nothing")) for name, found in waits.items()}
    told = ", ".join(f"{name} {each[0]:.2f} s ({each[1]})" for name, each in longest.items())
    sys.stderr.write(f"{story}; longest wait of a step for its hand-out at the end of {told}\n")
    assert max(each[0] for each in longest.values()) <= PAUSE, told
    assert codes == dict.fromkeys(ROLES, 0)
    assert story.failures == []
    await check(plan, story)


async def test_services_that_are_killed_cost_only_what_was_in_their_hands_and_is_sent_again(
    simulated: Mesh,
) -> None:
    plan, kills = plan_of(simulated), {}
    since = len(access(plan))
    async with at_work(plan, again=True, direct=ROLES[0]) as story:
        await asyncio.sleep(1.0)
        for name in ROLES:
            kills[name] = time.monotonic()
            simulated.kill(name)
            await back(simulated, name)
    counts = [
        f"{name} {sum(each.is_within(at, IN_HAND) for each in story.failures)}"
        for name, at in kills.items()
    ]
    sys.stderr.write(
        f"{story}; first tries that failed with the end of {', '.join(counts)}; "
        f"Envoy sent {sent_again(plan, since)} calls again\n"
    )
    elsewhere = [
        each
        for each in story.failures
        if not any(each.is_within(at, IN_HAND) for at in kills.values())
    ]
    assert elsewhere == []
    # Those who came without Envoy were in the hands of the gateway that was killed.
    assert story.written_again
    await check(plan, story)


def access(plan: WholePlan) -> list[str]:
    """Read the lines of Envoy's log."""
    return (plan.folder / "access.log").read_text().splitlines()


def sent_again(plan: WholePlan, since: int) -> int:
    """Count the calls since a line of Envoy's log that took more than one try."""
    return sum(int(json.loads(each).get("tries", 1)) > 1 for each in access(plan)[since:])


async def back(mesh: Mesh, name: str) -> None:
    """Leave a service away until its absence was seen, and its return until that was."""
    await asyncio.sleep(TWO_HEALTH_INTERVALS)
    mesh.start(name)
    await asyncio.to_thread(mesh.wait, name)
    await asyncio.sleep(TWO_HEALTH_INTERVALS)


async def check(plan: WholePlan, story: Story) -> None:
    """Nothing was lost, and every write that was acknowledged is there once."""
    assert story.lost == []
    assert story.failed_launches == []
    assert story.launches >= 1
    assert story.rate >= RATE
    async with plan.client() as client:
        stored = await client.whole(
            client.catalog.ListNodeGroupTemplates, ListNodeGroupTemplatesRequest(page_size=1000)
        )
    names = [each.name for each in stored.templates]
    assert len(names) == len(set(names))
    assert story.written <= set(names)
