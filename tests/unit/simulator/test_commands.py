"""Simulated hosts: commands, epochs, stops, and the record of it all."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from savanna_kit import errors

if TYPE_CHECKING:
    from savanna.simulator.v1.simulator_service_pb2 import CommandRecord
    from tests.unit.simulator.conftest import Simulator


async def test_a_script_sleeps_speaks_and_exits_in_its_time(simulator: Simulator) -> None:
    address = await simulator.boot()
    await simulator.start(address, "set -eu\necho one\nsleep 2\necho two\nsleep 0.5\nexit 3\n")
    assert await simulator.poll(address) == ("one\n", None)
    simulator.clock.advance(2)
    assert await simulator.poll(address) == ("one\ntwo\n", None)
    assert await simulator.poll(address, offset=4) == ("two\n", None)
    simulator.clock.advance(0.5)
    assert await simulator.poll(address) == ("one\ntwo\n", 3)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("echo plain text", "plain text"),
        ("echo   two    blanks", "two blanks"),
        ("echo $NAME and ${NAME}s", "cat and cats"),
        ('echo "a  quoted $NAME"', "a  quoted cat"),
        ("echo 'no $NAME here'", "no $NAME here"),
        (r"echo \$NAME \"x\"", '$NAME "x"'),
        ("echo it is $MISSING", "it is "),
        ("echo", ""),
    ],
)
async def test_the_shell_speaks_as_a_real_one_does(
    simulator: Simulator, line: str, said: str
) -> None:
    address = await simulator.boot()
    await simulator.start(address, line, NAME="cat")
    assert await simulator.poll(address) == (f"{said}\n", 0)


async def test_other_lines_are_passed_over_and_nothing_follows_an_exit(
    simulator: Simulator,
) -> None:
    address = await simulator.boot()
    script = "# a comment\nmkdir -p /srv\nif true; then\n  echo inside\nfi\nexit 4\necho never"
    assert await simulator.run(address, script) == ("inside\n", 4)


async def test_the_same_epoch_finds_the_command_and_does_not_begin_it_again(
    simulator: Simulator,
) -> None:
    address = await simulator.boot()
    await simulator.start(address, "sleep 5\necho first")
    await simulator.start(address, "echo second")
    simulator.clock.advance(5)
    await simulator.start(address, "echo third")
    assert await simulator.poll(address) == ("first\n", 0)
    assert len(await simulator.commands()) == 1


async def test_a_lower_epoch_is_refused(simulator: Simulator) -> None:
    address = await simulator.boot()
    await simulator.start(address, epoch=5)
    with pytest.raises(errors.FailedPrecondition, match="epoch 5 owns") as caught:
        await simulator.start(address, epoch=4)
    assert caught.value.reason == "STALE_EPOCH"
    with pytest.raises(errors.FailedPrecondition):
        await simulator.poll(address, epoch=4)
    assert await simulator.poll(address) == ("", None)


async def test_a_higher_epoch_stops_the_older_command_before_it_begins_its_own(
    simulator: Simulator,
) -> None:
    address = await simulator.boot()
    await simulator.start(address, "sleep 5", epoch=1)
    await simulator.start(address, "echo mine", epoch=2)
    assert await simulator.poll(address) == ("mine\n", 0)
    older, newer = await simulator.commands()
    assert (older.epoch, older.exit_code) == (1, -15)
    assert (newer.epoch, newer.exit_code) == (2, 0)
    assert 0 < older.begin_order < older.end_order < newer.begin_order < newer.end_order


async def test_a_higher_epoch_that_adopts_takes_the_command_over(simulator: Simulator) -> None:
    address = await simulator.boot()
    await simulator.start(address, "sleep 5\necho job", epoch=1)
    await simulator.start(address, "echo other", epoch=2, adopt=True)
    with pytest.raises(errors.FailedPrecondition):
        await simulator.start(address, epoch=1)
    simulator.clock.advance(5)
    await simulator.start(address, "echo other", epoch=3, adopt=True)
    assert await simulator.poll(address) == ("job\n", 0)
    assert len(await simulator.commands()) == 1


async def test_a_stopped_command_has_said_only_what_it_said_before(simulator: Simulator) -> None:
    address = await simulator.boot()
    await simulator.start(address, "echo before\nsleep 5\necho after")
    await simulator.stop(address)
    await simulator.stop(address)
    simulator.clock.advance(10)
    assert await simulator.poll(address) == ("before\n", -15)


async def test_a_stop_leaves_a_command_of_a_higher_epoch_alone(simulator: Simulator) -> None:
    address = await simulator.boot()
    await simulator.start(address, epoch=3)
    with pytest.raises(errors.FailedPrecondition) as caught:
        await simulator.stop(address, epoch=2)
    assert caught.value.reason == "STALE_EPOCH"
    assert await simulator.poll(address) == ("", None)


async def test_a_command_that_was_stopped_before_its_start_never_runs(
    simulator: Simulator,
) -> None:
    address = await simulator.boot()
    with pytest.raises(errors.NotFound):
        await simulator.stop(address, epoch=2)
    with pytest.raises(errors.FailedPrecondition):
        await simulator.start(address, epoch=1)
    await simulator.start(address, "echo never", epoch=2)
    assert await simulator.poll(address) == ("", -15)
    assert await simulator.commands() == []
    await simulator.start(address, "echo later", epoch=3)
    assert await simulator.poll(address) == ("later\n", 0)


async def test_a_stop_by_a_higher_epoch_keeps_the_epochs_between_from_beginning(
    simulator: Simulator,
) -> None:
    address = await simulator.boot()
    await simulator.start(address, epoch=1)
    await simulator.stop(address, epoch=9)
    with pytest.raises(errors.FailedPrecondition):
        await simulator.start(address, epoch=5)
    assert await simulator.poll(address) == ("", -15)
    assert len(await simulator.commands()) == 1


async def test_where_nobody_is_nobody_answers(simulator: Simulator) -> None:
    for call in (simulator.start, simulator.poll, simulator.stop):
        with pytest.raises(errors.Unavailable, match=r"10\.9\.9\.9 does not answer") as caught:
            await call("10.9.9.9")
        assert caught.value.reason == "HOST_UNREACHABLE"


async def test_a_host_that_answers_says_that_it_knows_no_such_command(
    simulator: Simulator,
) -> None:
    address = await simulator.boot()
    with pytest.raises(errors.NotFound) as caught:
        await simulator.poll(address)
    assert caught.value.reason == "RUN_NOT_FOUND"


async def test_commands_end_with_their_server(simulator: Simulator) -> None:
    address = await simulator.boot()
    await simulator.start(address)
    (server,) = await simulator.servers()
    await simulator.delete(server.id)
    with pytest.raises(errors.Unavailable):
        await simulator.poll(address)
    (record,) = await simulator.commands()
    assert (record.exit_code, record.end_order) == (-9, 2)


async def test_the_record_tells_all_and_in_order(simulator: Simulator) -> None:
    one, other = await simulator.boot("c1-worker-1"), await simulator.boot("c1-worker-2")
    await simulator.start(one, "sleep 3\nexit 1", key="a", NAME="cat")
    simulator.clock.advance(1)
    await simulator.start(other, "sleep 1", key="b")
    simulator.clock.advance(9)
    await simulator.start(other, "sleep 1", key="c")
    records = await simulator.commands()
    assert [(each.server, each.key, order(each)) for each in records] == [
        ("c1-worker-1", "a", (1, 4)),
        ("c1-worker-2", "b", (2, 3)),
        ("c1-worker-2", "c", (5, 0)),
    ]
    first = records[0]
    assert (first.operation_id, first.epoch, first.exit_code) == ("o1", 1, 1)
    assert (first.script, dict(first.environment)) == ("sleep 3\nexit 1", {"NAME": "cat"})
    assert not records[2].HasField("exit_code")
    assert [each.key for each in await simulator.commands("*-2")] == ["b", "c"]


def order(record: CommandRecord) -> tuple[int, int]:
    return record.begin_order, record.end_order


async def test_a_look_that_waits_comes_back_when_the_time_is_over(simulator: Simulator) -> None:
    address = await simulator.boot()
    await simulator.start(address, "echo a\nsleep 100")
    assert await simulator.poll(address, wait=0.1) == ("a\n", None)


async def test_a_look_that_waits_comes_back_when_the_command_is_stopped_or_its_host_goes(
    simulator: Simulator,
) -> None:
    address = await simulator.boot()
    await simulator.start(address, key="a")
    await simulator.start(address, key="b")
    begun = time.monotonic()
    first = asyncio.create_task(simulator.poll(address, key="a", wait=20))
    second = asyncio.create_task(simulator.poll(address, key="b", wait=20))
    await asyncio.sleep(0.05)
    await simulator.stop(address, key="a")
    assert await first == ("", -15)
    (server,) = await simulator.servers()
    await simulator.delete(server.id)
    with pytest.raises(errors.Unavailable):
        await second
    assert time.monotonic() - begun < 5
