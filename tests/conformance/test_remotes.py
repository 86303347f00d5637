"""What every channel to hosts promises."""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from savanna_engine.remote.errors import (
    HostKeyMismatch,
    HostUnreachable,
    RunNotFound,
    RunTimeout,
    StaleEpoch,
)
from savanna_engine.steps.servers import make_host_key
from tests.conformance.remote_channels import CHANNELS, Channel, at, lines, new_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna_engine.remote.base import RunId, RunState

_TIMEOUT = 20.0
STOPPED = 143


@pytest.fixture(scope="module", params=sorted(CHANNELS))
def channel(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Channel]:
    with CHANNELS[request.param](tmp_path_factory.mktemp("hosts")) as made:
        yield made


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def _poll(channel: Channel, run: RunId, output_offset: int = 0) -> RunState:
    return channel.remote.poll(
        channel.host, run, output_offset=output_offset, errors_offset=0, timeout=_TIMEOUT
    )


def _until_it_wrote(channel: Channel, run: RunId, text: bytes) -> None:
    """Wait until a run, begun by another thread perhaps, has written a text."""
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        try:
            if text in _poll(channel, run).output:
                return
        except RunNotFound:
            pass
        time.sleep(0.01)
    pytest.fail(f"{text!r} was never written")


def _ended(channel: Channel, run: RunId) -> RunState:
    deadline = time.monotonic() + _TIMEOUT
    while (state := _poll(channel, run)).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return state


def test_a_host_that_answers_passes_the_check(channel: Channel) -> None:
    channel.remote.check(channel.host, _TIMEOUT)


def test_a_run_gives_its_output_and_exit_code(channel: Channel) -> None:
    state = channel.remote.run(
        channel.host, new_run(), lines("echo one", "echo two", "exit 3"), _TIMEOUT
    )
    assert state.output == b"one\ntwo\n"
    assert state.exit_code == 3


def test_the_same_epoch_finds_the_result_and_does_not_run_twice(channel: Channel) -> None:
    run = new_run()
    first = channel.remote.run(channel.host, run, lines("echo one"), _TIMEOUT)
    again = channel.other.run(channel.host, run, lines("echo another"), _TIMEOUT)
    assert again == first
    assert _poll(channel, run).output == b"one\n"


def test_the_same_epoch_joins_a_run_that_goes_on(
    channel: Channel, threads: ThreadPoolExecutor
) -> None:
    run, command = new_run(), lines("echo begun", "sleep 0.4", "echo done")
    first = threads.submit(channel.remote.run, channel.host, run, command, _TIMEOUT)
    _until_it_wrote(channel, run, b"begun")
    second = threads.submit(channel.other.run, channel.host, run, command, _TIMEOUT)
    assert first.result().output == second.result().output == b"begun\ndone\n"


def test_two_that_start_at_once_start_one_run(
    channel: Channel, threads: ThreadPoolExecutor
) -> None:
    run, command = new_run(), lines("echo begun", "sleep 0.2")
    remotes = [channel.remote, channel.other, channel.remote, channel.other]
    asked = [threads.submit(each.run, channel.host, run, command, _TIMEOUT) for each in remotes]
    assert [each.result().output for each in asked] == [b"begun\n"] * 4


def test_a_higher_epoch_stops_the_older_run_and_starts_anew(
    channel: Channel, threads: ThreadPoolExecutor
) -> None:
    run = new_run()
    old = threads.submit(
        channel.remote.run, channel.host, run, lines("echo old", "sleep 30"), _TIMEOUT
    )
    _until_it_wrote(channel, run, b"old")
    state = channel.other.run(channel.host, at(run, 2), lines("echo new"), _TIMEOUT)
    assert state.output == b"new\n"
    with pytest.raises(StaleEpoch):
        old.result(timeout=5)


def test_a_higher_epoch_runs_again_what_had_ended(channel: Channel) -> None:
    run = new_run()
    channel.remote.run(channel.host, run, lines("echo old", "exit 1"), _TIMEOUT)
    state = channel.remote.run(channel.host, at(run, 2), lines("echo new"), _TIMEOUT)
    assert (state.output, state.exit_code) == (b"new\n", 0)


def test_a_lower_epoch_is_refused(channel: Channel) -> None:
    run = new_run(epoch=2)
    channel.remote.run(channel.host, run, lines("echo new"), _TIMEOUT)
    with pytest.raises(StaleEpoch):
        channel.remote.run(channel.host, at(run, 1), lines("echo old"), _TIMEOUT)
    with pytest.raises(StaleEpoch):
        channel.remote.start(channel.host, at(run, 1), lines("echo old"), _TIMEOUT)
    with pytest.raises(StaleEpoch):
        channel.remote.stop(channel.host, at(run, 1), _TIMEOUT)
    assert _poll(channel, run).output == b"new\n"


def test_an_adopting_attempt_takes_over_what_runs(channel: Channel) -> None:
    run = new_run()
    job = lines("echo begun", "sleep 0.3", "exit 5", adopt=True)
    channel.remote.start(channel.host, run, job, _TIMEOUT)
    channel.other.start(channel.host, at(run, 2), job, _TIMEOUT)
    state = _ended(channel, at(run, 2))
    assert (state.output, state.exit_code) == (b"begun\n", 5)
    with pytest.raises(StaleEpoch):
        channel.remote.start(channel.host, run, job, _TIMEOUT)


def test_an_adopting_attempt_takes_over_what_has_ended(channel: Channel) -> None:
    run = new_run()
    channel.remote.run(channel.host, run, lines("echo once", adopt=True), _TIMEOUT)
    state = channel.remote.run(channel.host, at(run, 2), lines("echo twice", adopt=True), _TIMEOUT)
    assert state.output == b"once\n"


def test_start_returns_while_the_run_goes_on(channel: Channel) -> None:
    run = new_run()
    channel.remote.start(channel.host, run, lines("echo begun", "sleep 30"), _TIMEOUT)
    assert _poll(channel, run).exit_code is None
    channel.remote.stop(channel.host, run, _TIMEOUT)


def test_a_look_brings_what_is_new_since_the_last(channel: Channel) -> None:
    run = new_run()
    channel.remote.start(
        channel.host, run, lines("echo one", "sleep 0.3", "echo two", "exit 7"), _TIMEOUT
    )
    _until_it_wrote(channel, run, b"one\n")
    assert _ended(channel, run) == dataclasses.replace(
        _poll(channel, run), output=b"one\ntwo\n", exit_code=7
    )
    assert _poll(channel, run, output_offset=4).output == b"two\n"
    assert _poll(channel, run, output_offset=8).output == b""
    beyond = _poll(channel, run, output_offset=2**62)
    assert (beyond.output, beyond.exit_code) == (b"", 7)


def test_a_look_at_an_unknown_run_says_so(channel: Channel) -> None:
    with pytest.raises(RunNotFound):
        _poll(channel, new_run())


def test_a_run_that_takes_too_long_is_stopped(channel: Channel) -> None:
    run = new_run()
    with pytest.raises(RunTimeout) as raised:
        channel.remote.run(channel.host, run, lines("echo begun", "sleep 30"), 0.7)
    assert raised.value.output == b"begun\n"
    assert _poll(channel, run).exit_code == STOPPED


def test_a_stopped_run_has_ended_and_does_not_start_again(channel: Channel) -> None:
    run = new_run()
    channel.remote.start(channel.host, run, lines("echo begun", "sleep 30"), _TIMEOUT)
    _until_it_wrote(channel, run, b"begun")
    channel.remote.stop(channel.host, run, _TIMEOUT)
    assert _poll(channel, run).exit_code == STOPPED
    channel.remote.start(channel.host, run, lines("echo again"), _TIMEOUT)
    assert _poll(channel, run).output == b"begun\n"


def test_a_stop_wins_over_a_start_that_comes_after_it(channel: Channel) -> None:
    run = new_run()
    with pytest.raises(RunNotFound):
        channel.remote.stop(channel.host, run, _TIMEOUT)
    state = channel.remote.run(channel.host, run, lines("echo never"), _TIMEOUT)
    assert (state.output, state.exit_code) == (b"", STOPPED)
    state = channel.remote.run(channel.host, at(run, 2), lines("echo now"), _TIMEOUT)
    assert (state.output, state.exit_code) == (b"now\n", 0)


def test_a_stop_of_a_higher_epoch_stops_what_runs(channel: Channel) -> None:
    run = new_run()
    channel.remote.start(channel.host, run, lines("echo begun", "sleep 30"), _TIMEOUT)
    channel.other.stop(channel.host, at(run, 2**31), _TIMEOUT)
    assert _poll(channel, run).exit_code == STOPPED
    with pytest.raises(StaleEpoch):
        channel.remote.start(channel.host, at(run, 2), lines("echo again"), _TIMEOUT)


def test_a_stop_leaves_the_result_of_what_had_ended(channel: Channel) -> None:
    run = new_run()
    channel.remote.run(channel.host, run, lines("echo done", "exit 4"), _TIMEOUT)
    channel.remote.stop(channel.host, run, _TIMEOUT)
    state = _poll(channel, run)
    assert (state.output, state.exit_code) == (b"done\n", 4)


def test_keys_of_any_form_name_different_runs(channel: Channel) -> None:
    run = new_run("a/b")
    keys = ["a/b", "a%2Fb", "a b", ".", "..", "~", "ä", "$(exit)", "it's"]
    for key in keys:
        command = lines(f"echo run-{keys.index(key)}")
        channel.remote.run(channel.host, dataclasses.replace(run, key=key), command, _TIMEOUT)
    outputs = [_poll(channel, dataclasses.replace(run, key=key)).output for key in keys]
    assert outputs == [f"run-{number}\n".encode() for number in range(len(keys))]


def test_another_host_key_is_refused_before_anything_is_sent(channel: Channel) -> None:
    run = new_run()
    _, another = make_host_key()
    impostor = dataclasses.replace(channel.host, host_key=another)
    with pytest.raises(HostKeyMismatch):
        channel.remote.check(impostor, _TIMEOUT)
    with pytest.raises(HostKeyMismatch):
        channel.remote.run(impostor, run, lines("echo secret"), _TIMEOUT)
    with pytest.raises(RunNotFound):
        _poll(channel, run)


def test_a_host_that_is_gone_is_unreachable(channel: Channel) -> None:
    with pytest.raises(HostUnreachable):
        channel.remote.check(channel.gone, _TIMEOUT)


def test_a_host_that_says_nothing_is_unreachable_in_time(channel: Channel) -> None:
    begun = time.monotonic()
    with pytest.raises(HostUnreachable):
        channel.remote.run(channel.silent, new_run(), lines("echo never"), 0.5)
    assert time.monotonic() - begun < 2.0


def test_a_connection_that_breaks_leaves_the_run_going(
    channel: Channel, threads: ThreadPoolExecutor
) -> None:
    run, command = new_run(), lines("echo begun", "sleep 0.5", "echo done", "exit 6")
    asked = threads.submit(channel.remote.run, channel.host, run, command, _TIMEOUT)
    _until_it_wrote(channel, run, b"begun")
    # The one who asked may still wait for the word that it has begun, and may ask for that twice.
    time.sleep(0.1)
    channel.cut()
    with pytest.raises(HostUnreachable):
        asked.result(timeout=5)
    state = channel.remote.run(channel.host, run, command, _TIMEOUT)
    assert (state.output, state.exit_code) == (b"begun\ndone\n", 6)


def test_a_forgotten_host_can_be_reached_again(channel: Channel) -> None:
    channel.remote.check(channel.host, _TIMEOUT)
    channel.remote.forget(channel.host.address)
    channel.remote.check(channel.host, _TIMEOUT)
