"""Servers behave as badly as they are told to, and the same seed does the same again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from google.protobuf.duration_pb2 import Duration

from savanna.simulator.v1.simulator_service_pb2 import Behavior
from savanna_kit import errors, serving
from savanna_kit.channels import connect
from savanna_kit.clock import ManualClock
from savanna_kit.settings import SettingsError, load
from savanna_simulator.behaviors import Behaviors
from savanna_simulator.main import build
from savanna_simulator.settings import SimulatorSettings
from tests.unit.simulator.conftest import BOOT_SECONDS, Simulator

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [f"c1-worker-{number}" for number in range(1000)]


async def test_only_servers_whose_name_matches_are_struck(simulator: Simulator) -> None:
    await simulator.wish(Behavior(name_glob="c1-worker-*", ssh_dead=True))
    worker, master = await simulator.boot("c1-worker-1"), await simulator.boot("c1-master-1")
    with pytest.raises(errors.Unavailable):
        await simulator.start(worker)
    await simulator.start(master)


async def test_a_server_boots_as_long_as_it_is_told_to(simulator: Simulator) -> None:
    await simulator.wish(Behavior(boot_time=Duration(seconds=60)))
    made = await simulator.create()
    simulator.clock.advance(59)
    assert [each.status for each in await simulator.servers(id=made.id)] == ["BUILD"]
    simulator.clock.advance(1)
    assert [each.status for each in await simulator.servers(id=made.id)] == ["ACTIVE"]


async def test_a_server_that_does_not_boot_says_why_and_has_no_address(
    simulator: Simulator,
) -> None:
    await simulator.wish(Behavior(boot_fails=True))
    made = await simulator.create()
    simulator.clock.advance(BOOT_SECONDS)
    (server,) = await simulator.servers(id=made.id)
    assert (server.status, server.address) == ("ERROR", "")
    assert "did not boot" in server.fault


async def test_a_slow_server_takes_its_time(simulator: Simulator) -> None:
    await simulator.wish(Behavior(slowness=3))
    address = await simulator.boot()
    await simulator.start(address, "sleep 1\necho half\nsleep 1\nexit 2")
    simulator.clock.advance(3)
    assert await simulator.poll(address) == ("half\n", None)
    simulator.clock.advance(3)
    assert await simulator.poll(address) == ("half\n", 2)


async def test_ssh_dies_once_enough_commands_were_begun_and_they_go_on(
    simulator: Simulator,
) -> None:
    await simulator.wish(Behavior(ssh_dies_after=2))
    address = await simulator.boot()
    await simulator.start(address, key="a")
    assert await simulator.poll(address, key="a") == ("", None)
    await simulator.start(address, key="b")
    for call in (simulator.start, simulator.poll, simulator.stop):
        with pytest.raises(errors.Unavailable):
            await call(address, key="a")
    simulator.clock.advance(5)
    assert [each.exit_code for each in await simulator.commands()] == [0, 0]


async def test_the_reply_of_a_create_is_lost_but_the_server_is_made(simulator: Simulator) -> None:
    await simulator.wish(Behavior(name_glob="*-1", create_reply_lost=True))
    with pytest.raises(errors.Unavailable) as caught:
        await simulator.create("c1-worker-1", savanna_instance="i1")
    assert caught.value.reason == "REPLY_LOST"
    assert [each.name for each in await simulator.servers(savanna_instance="i1")] == ["c1-worker-1"]
    await simulator.create("c1-worker-2")


async def test_a_slow_create_has_made_its_server_before_it_answers(simulator: Simulator) -> None:
    slow = Behavior(name_glob="*-1", create_time=Duration(nanos=200_000_000))
    await simulator.wish(slow)
    begun = time.monotonic()
    creating = asyncio.create_task(simulator.create("c1-worker-1", savanna_instance="i1"))
    await asyncio.sleep(0.05)
    (server,) = await simulator.servers(savanna_instance="i1")
    assert not creating.done()
    assert (await creating).id == server.id
    assert 0.2 <= time.monotonic() - begun < 2


async def test_a_log_in_takes_as_long_as_it_is_told_to_and_a_look_does_not(
    simulator: Simulator,
) -> None:
    await simulator.wish(Behavior(name_glob="*-1", login_time=Duration(nanos=200_000_000)))
    slow, quick = await simulator.boot("c1-worker-1"), await simulator.boot("c1-worker-2")
    assert await refusal_seconds(simulator, slow, key="") >= 0.2
    assert await refusal_seconds(simulator, slow, key="start") < 0.2
    assert await refusal_seconds(simulator, quick, key="") < 0.2


async def refusal_seconds(simulator: Simulator, address: str, *, key: str) -> float:
    """Look at a command that is not there; gives how long the answer takes."""
    begun = time.monotonic()
    with pytest.raises(errors.NotFound):
        await simulator.poll(address, key=key)
    return time.monotonic() - begun


async def test_chosen_commands_end_as_they_are_told_to_as_often_as_they_are_told_to(
    simulator: Simulator,
) -> None:
    await simulator.wish(
        Behavior(command_exit_code=9, command_glob="configure/*", command_failures=2)
    )
    one, other = await simulator.boot("c1-worker-1"), await simulator.boot("c1-worker-2")
    ended = [await exit_code(simulator, one, f"configure/{number}") for number in range(3)]
    assert ended == [9, 9, 4]
    assert await exit_code(simulator, one, "start/1") == 4
    assert await exit_code(simulator, other, "configure/1") == 9


async def test_later_behaviours_win_field_by_field(simulator: Simulator) -> None:
    address = await simulator.boot()
    await simulator.wish(
        Behavior(slowness=2, command_exit_code=1),
        Behavior(slowness=4),
        Behavior(command_exit_code=2, command_failures=1),
    )
    await simulator.start(address, "sleep 1", key="a")
    simulator.clock.advance(3.9)
    assert await simulator.poll(address, key="a") == ("", None)
    simulator.clock.advance(0.1)
    assert await simulator.poll(address, key="a") == ("", 2)
    assert await exit_code(simulator, address, "b") == 1


async def exit_code(simulator: Simulator, address: str, key: str) -> int | None:
    _, code = await simulator.run(address, "exit 4", key=key)
    return code


async def test_behaviours_that_make_no_sense_are_refused_all_at_once(
    simulator: Simulator,
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await simulator.wish(
            Behavior(ssh_dead=True),
            Behavior(probability=1.5, slowness=-1, ssh_dies_after=-1),
        )
    assert [each.field for each in caught.value.violations] == [
        "behaviors[1].probability",
        "behaviors[1].slowness",
        "behaviors[1].ssh_dies_after",
    ]
    await simulator.start(await simulator.boot())


async def test_behaviours_can_be_set_from_the_beginning(tmp_path: Path) -> None:
    settings = SimulatorSettings(
        listen=f"unix:{tmp_path}/simulator.sock",
        boot_seconds=0,
        behaviors='[{"nameGlob": "*-1", "bootTime": "60s"}, {"bootFails": true}]',
    )
    parts = build(settings)
    async with serving.running([parts]), connect(parts.addresses[0]) as channel:
        simulator = Simulator(channel, ManualClock())
        assert (await simulator.create("c1-worker-1")).status == "BUILD"
        assert (await simulator.create("c1-worker-2")).status == "ERROR"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "Expecting value"),
        ("{}", "no JSON list"),
        ('[{"bootFalls": true}]', 'no field named "bootFalls"'),
        (
            '[{"probability": 2}]',
            r"behaviors\[0\]\.probability: a probability lies between 0 and 1",
        ),
    ],
)
def test_settings_with_behaviours_that_can_not_be_are_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(SimulatorSettings, behaviors=text)


def test_the_same_seed_strikes_the_same_servers_whatever_the_order_of_questions() -> None:
    behavior = Behavior(probability=0.1, boot_fails=True)
    forwards, backwards = struck([behavior], NAMES), struck([behavior], NAMES[::-1])
    assert forwards == backwards
    assert 50 < len(forwards) < 150
    assert struck([behavior], NAMES, seed=8) != forwards


def test_each_behaviour_draws_for_itself() -> None:
    first = struck([Behavior(probability=0.5, boot_fails=True)], NAMES)
    second = struck([Behavior(), Behavior(probability=0.5, boot_fails=True)], NAMES)
    assert 150 < len(first & second) < 350


def struck(behaviors: list[Behavior], names: list[str], seed: int = 7) -> set[str]:
    """Say whose boot fails."""
    all_behaviors = Behaviors(seed=seed, boot_seconds=1)
    all_behaviors.add(behaviors)
    return {each for each in names if all_behaviors.traits(each).boot_fails}
