"""The engine's drivers of the simulator: what they add to what the conformance suites ask."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest

from savanna.simulator.v1 import simulator_service_pb2 as messages
from savanna.simulator.v1 import simulator_service_pb2_grpc as stubs
from savanna_engine.cloud.base import ServerOrder, ServerStatus
from savanna_engine.cloud.errors import CloudRefused, CloudUnavailable
from savanna_engine.cloud.simulated import PLAIN_IMAGE_ID, SimulatedCloud
from savanna_engine.remote.base import Command, Host, RunId
from savanna_engine.remote.errors import HostUnreachable, RunTimeout, StaleEpoch
from savanna_engine.remote.simulated import SimulatedRemote
from tests.conformance.cloud_stages import quick, simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = RunId("o1", "start", 1)
ORDER = ServerOrder(
    cluster_id="c1",
    cluster_name="c1",
    project_id="default",
    instance_id="i1",
    name="c1-worker-1",
    node_group="worker",
    flavor_id="1",
    image_id=PLAIN_IMAGE_ID,
    network_id="",
    authorized_key="ssh-ed25519 AAAA",
    username="savanna",
    host_key="private",
    host_public_key="ssh-ed25519 BBBB",
)


class Bench:
    """Both drivers and the controls of one simulator."""

    def __init__(self, address: str) -> None:
        self.cloud = SimulatedCloud(address)
        self.remote = SimulatedRemote(address)
        self._channel = grpc.insecure_channel(address)
        self._control = stubs.SimulatorControlServiceStub(self._channel)

    def close(self) -> None:
        self.cloud.close()
        self.remote.close()
        self._channel.close()

    def wish(self, behavior: messages.Behavior) -> None:
        self._control.AddBehaviors(messages.AddBehaviorsRequest(behaviors=[behavior]), timeout=5)

    def commands(self) -> list[messages.CommandRecord]:
        return list(self._control.ListCommands(messages.ListCommandsRequest(), timeout=5).commands)

    def host(self, order: ServerOrder = ORDER) -> Host:
        """Make a server and give its host, once it has booted."""
        self.cloud.create_server(order)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            (server,) = self.cloud.find_servers(instance_id=order.instance_id)
            if server.status is ServerStatus.RUNNING:
                return host_at(server.management_ip)
            time.sleep(0.01)
        raise AssertionError("the server does not boot")


def host_at(address: str) -> Host:
    return Host("c1-worker-1", address, 22, "savanna", ORDER.host_public_key, "")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with simulator(quick(tmp_path)) as address:
        bench = Bench(address)
        yield bench
        bench.close()


def test_a_run_waits_for_the_end_and_gives_the_whole_output(bench: Bench) -> None:
    host = bench.host()
    command = Command("echo $WORD\nsleep 0.2\necho end\nexit 3", {"WORD": "begin"})
    begun = time.monotonic()
    state = bench.remote.run(host, RUN, command, 10)
    assert (state.output, state.exit_code) == (b"begin\nend\n", 3)
    assert 0.2 <= time.monotonic() - begun < 3


def test_a_run_that_takes_too_long_is_stopped_and_gives_what_it_has_said(bench: Bench) -> None:
    host = bench.host()
    with pytest.raises(RunTimeout, match=r"did not end in 0\.2 s and was") as caught:
        bench.remote.run(host, RUN, Command("echo before\nsleep 60"), 0.2)
    assert caught.value.output == b"before\n"
    assert [each.exit_code for each in bench.commands()] == [-15]


def test_a_run_whose_place_is_taken_learns_that_it_is_over(bench: Bench) -> None:
    host = bench.host()
    with ThreadPoolExecutor(1) as threads:
        older = threads.submit(bench.remote.run, host, RUN, Command("sleep 60"), 30)
        while not bench.commands():
            time.sleep(0.01)
        newer = bench.remote.run(host, replace(RUN, epoch=2), Command("echo new"), 5)
        assert newer.output == b"new\n"
        with pytest.raises(StaleEpoch):
            older.result(5)


def test_a_check_tells_a_host_that_answers_from_one_that_does_not(bench: Bench) -> None:
    host = bench.host()
    bench.remote.check(host, 2)
    with pytest.raises(HostUnreachable):
        bench.remote.check(host_at("10.9.9.9"), 2)
    bench.wish(messages.Behavior(ssh_dead=True))
    with pytest.raises(HostUnreachable, match="does not answer"):
        bench.remote.check(host, 2)


def test_removing_a_server_removes_its_doubles_too(bench: Bench) -> None:
    bench.wish(messages.Behavior(create_reply_lost=True))
    with ThreadPoolExecutor(8) as threads:
        tries = [threads.submit(bench.cloud.create_server, ORDER) for _ in range(8)]
        assert any(isinstance(each.exception(5), CloudUnavailable) for each in tries)
    assert len(bench.cloud.find_servers(instance_id="i1")) >= 1
    assert bench.cloud.delete_server("i1")
    assert bench.cloud.find_servers() == []


def test_a_server_that_failed_says_why(bench: Bench) -> None:
    bench.wish(messages.Behavior(boot_fails=True))
    bench.cloud.create_server(ORDER)
    time.sleep(0.1)
    (server,) = bench.cloud.find_servers(instance_id="i1")
    assert (server.status, server.management_ip) == (ServerStatus.ERROR, "")
    assert "did not boot" in server.fault


def test_an_unknown_network_is_refused_with_those_that_there_are(bench: Bench) -> None:
    with pytest.raises(CloudRefused, match=r"network 'elsewhere' does not exist.*choose from"):
        bench.cloud.create_server(replace(ORDER, network_id="elsewhere"))


def test_a_simulator_that_is_away_can_be_tried_again(tmp_path: Path) -> None:
    settings = quick(tmp_path)
    cloud, remote = SimulatedCloud(settings.listen), SimulatedRemote(settings.listen)
    with pytest.raises(CloudUnavailable, match="did not answer") as caught:
        cloud.create_server(ORDER)
    assert caught.value.retryable
    with pytest.raises(HostUnreachable):
        remote.start(host_at("10.0.0.1"), RUN, Command("echo a"), 1)
    with simulator(settings):
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                cloud.create_server(ORDER)
                break
            except CloudUnavailable:
                time.sleep(0.05)
        assert len(cloud.find_servers()) == 1
    cloud.close()
    remote.close()
