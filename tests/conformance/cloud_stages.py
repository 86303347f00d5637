"""Clouds to be tested, each with what a test can not do through the port: breaking a create."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import grpc

from savanna.simulator.v1 import simulator_service_pb2 as messages
from savanna.simulator.v1 import simulator_service_pb2_grpc as stubs
from savanna_engine.cloud.errors import CloudUnavailable
from savanna_engine.cloud.local import LocalCloud
from savanna_engine.cloud.simulated import SimulatedCloud
from savanna_kit import serving
from savanna_simulator.main import build
from savanna_simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from savanna_engine.cloud.base import Cloud, ServerOrder

SIMULATED_SERVERS = 40


class Stage(Protocol):
    """A cloud under test."""

    @property
    def cloud(self) -> Cloud:
        """The cloud."""

    def break_create(self, order: ServerOrder) -> None:
        """Begin to make a server as one does who dies before it knows that the server is made."""


class SimulatedStage:
    def __init__(self, address: str) -> None:
        self.address = address
        self.cloud = SimulatedCloud(address)

    def break_create(self, order: ServerOrder) -> None:
        wish(self.address, messages.Behavior(name_glob=order.name, create_reply_lost=True))
        try:
            self.cloud.create_server(order)
        except CloudUnavailable:
            return
        raise AssertionError("the reply was not lost")


class LocalStage:
    def __init__(self, root: Path, hosts: str, memory: int | None = None) -> None:
        self._root = root
        self.cloud = LocalCloud(root, hosts=hosts, memory=memory)

    def break_create(self, order: ServerOrder) -> None:
        # The record is written last: without it the host is one whose maker was killed.
        self.cloud.create_server(order)
        (self._root / "hosts" / order.instance_id / "record.json").unlink()


@contextmanager
def simulated(folder: Path) -> Iterator[SimulatedStage]:
    with simulator(quick(folder, max_servers=SIMULATED_SERVERS)) as address:
        stage = SimulatedStage(address)
        yield stage
        stage.cloud.close()


@contextmanager
def in_namespaces(folder: Path) -> Iterator[LocalStage]:
    with _local(folder, "namespaces") as stage:
        yield stage


@contextmanager
def on_loopback(folder: Path, memory: int | None = None) -> Iterator[LocalStage]:
    with _local(folder, "loopback", memory) as stage:
        yield stage


@contextmanager
def _local(folder: Path, hosts: str, memory: int | None = None) -> Iterator[LocalStage]:
    stage = LocalStage(folder, hosts, memory)
    try:
        yield stage
    finally:
        stage.cloud.purge()


def quick(folder: Path, *, seed: int = 0, max_servers: int = 0) -> SimulatorSettings:
    """Give settings of a simulator that boots at once and listens in a folder."""
    return SimulatorSettings(
        listen=f"unix:{folder}/simulator.sock",
        boot_seconds=0.05,
        drain_seconds=0.2,
        seed=seed,
        max_servers=max_servers,
    )


def wish(address: str, behavior: messages.Behavior) -> None:
    """Tell a simulator how servers shall behave."""
    with grpc.insecure_channel(address) as channel:
        stubs.SimulatorControlServiceStub(channel).AddBehaviors(
            messages.AddBehaviorsRequest(behaviors=[behavior]), timeout=5
        )


@contextmanager
def simulator(given: SimulatorSettings) -> Iterator[str]:
    """Run a simulator in a thread of its own, for drivers that block; gives its address."""
    parts = build(given)
    loop = asyncio.new_event_loop()
    begun, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with serving.running([parts]):
            begun.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="simulator")
    thread.start()
    try:
        assert begun.wait(10), "the simulator did not begin to serve"
        yield parts.addresses[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()
