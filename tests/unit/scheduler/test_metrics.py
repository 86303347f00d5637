"""What a scheduler measures: every wait that only it knows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_kit import metrics
from tests.scrapes import scrape
from tests.unit.conductor.conftest import PROJECT
from tests.unit.scheduler.scripted_engine import ScriptedEngine
from tests.unit.scheduler.stage import step

if TYPE_CHECKING:
    from tests.unit.conductor.conftest import Conductor
    from tests.unit.scheduler.conftest import Place

READY = 'savanna_scheduler_ready_tasks{pool="ssh"}'
OFFERS = "savanna_scheduler_unacknowledged_offers"
STALE = "savanna_scheduler_stale_results_total"


async def scraped(where: str, name: str, value: float) -> dict[str, float]:
    """Look until a metric has a value."""
    async with asyncio.timeout(10):
        while True:
            found = await scrape(where)
            if found.get(name) == value:
                return found
            await asyncio.sleep(0.02)


async def test_ready_tasks_offers_slots_and_late_results_are_measured(
    place: Place, conductor: Conductor
) -> None:
    await conductor.create()
    engine = ScriptedEngine()
    async with (
        metrics.endpoint("127.0.0.1:0", "scheduler") as where,
        place.scheduler("s1"),
        engine.connected(place.address("s1")),
    ):
        await engine.succeed("plan/1", spawn=[step(each) for each in "abcdef"])
        for each in "abcd":
            await engine.get(each)
        found = await scraped(where, READY, 2)
        assert found[OFFERS] == 4
        assert 0 < found["savanna_scheduler_oldest_offer_seconds"] < 5
        oldest = found[f'savanna_scheduler_oldest_ready_seconds{{project="{PROJECT}"}}']
        assert 0 < oldest < 5
        for name, value in (
            ("operations", 1),
            ("lives_total", 1),
            ('engines{state="connected"}', 1),
            ('slots{pool="ssh",state="busy"}', 4),
            ('slots{pool="ssh",state="free"}', 0),
            ('slots{pool="plan",state="free"}', 1),
        ):
            assert found[f"savanna_scheduler_{name}"] == value, name
        assert 0 < found["savanna_scheduler_lease_margin_seconds"] <= 1
        assert found["savanna_scheduler_commit_changes_sum"] == 7

        taken = [engine.running[each].attempt for each in "abc"]
        await engine.say(stream.ConnectRequest(accepted=stream.Accepted(attempts=taken)))
        assert (await scraped(where, OFFERS, 1))[STALE] == 0
        done = stream.Result(attempt=taken[0], succeeded=stream.Succeeded())
        await engine.succeed("a")
        await engine.say(stream.ConnectRequest(done=stream.Done(results=[done])))
        await scraped(where, STALE, 1)
