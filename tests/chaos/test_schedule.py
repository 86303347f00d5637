"""The adversary's plan follows from the seed alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from savanna_kit.crashes import POINTS
from tests.chaos.adversary import KILLS, Kind, schedule
from tests.chaos.plans import AlonePlan, PeersPlan, role_of

ROOT = Path(__file__).parents[2]
PLAN = AlonePlan(folder=Path("/f"), sockets=Path("/s"), database_url="sqlite:///f/savanna.db")
PEERS = PeersPlan(folder=Path("/f"), sockets=Path("/s"), database_url="", cloud="simulated")


def test_a_schedule_has_as_many_kills_as_were_asked_for() -> None:
    for seed in range(20):
        blows = schedule(seed, PLAN.targets(), 25)
        assert sum(each.kind in KILLS for each in blows) == 25
        assert blows[-1].kind in KILLS


def test_a_seed_gives_the_same_schedule_in_another_process() -> None:
    code = (
        "from tests.chaos.test_schedule import PLAN, schedule;"
        "print('\\n'.join(map(str, schedule(7, PLAN.targets(), 20))))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert told.stdout.splitlines() == [str(each) for each in schedule(7, PLAN.targets(), 20)]


def test_every_crash_point_has_its_turn() -> None:
    seen = {
        each.point
        for seed in range(20)
        for each in schedule(seed, PLAN.targets(), 50)
        if each.kind is Kind.CRASH
    }
    assert seen == set(POINTS)


def test_everybody_in_a_mesh_is_hurt_in_every_way() -> None:
    blows = [each for seed in range(40) for each in schedule(seed, PEERS.targets(), 20)]
    assert {each.kind for each in blows} == set(Kind)
    victims = {each.victim for each in blows if each.kind is Kind.KILL}
    assert victims == {each for each in PEERS.names() if each != "simulator"}
    crashed = [each for each in blows if each.kind is Kind.CRASH]
    assert {each.point for each in crashed} == set(POINTS)
    assert all(each.point.startswith(f"{role_of(each.victim)}.") for each in crashed)
