"""A simulator reached through its front door, with a clock that stands still until it is moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna.simulator.v1 import simulator_service_pb2 as messages
from savanna.simulator.v1 import simulator_service_pb2_grpc as stubs
from savanna_kit import serving
from savanna_kit.channels import connect
from savanna_kit.clock import ManualClock
from savanna_simulator.main import build
from savanna_simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import grpc

BOOT_SECONDS = 10.0
MAX_SERVERS = 2000


class Simulator:
    """The calls that tests begin with, in one line each."""

    def __init__(self, channel: grpc.aio.Channel, clock: ManualClock) -> None:
        self.clock = clock
        self.cloud = stubs.SimulatedCloudServiceStub(channel)
        self.hosts = stubs.SimulatedHostServiceStub(channel)
        self.control = stubs.SimulatorControlServiceStub(channel)

    async def create(self, name: str = "c1-worker-1", **metadata: str) -> messages.Server:
        request = messages.CreateServerRequest(name=name, metadata=metadata)
        return (await self.cloud.CreateServer(request)).server

    async def boot(self, name: str = "c1-worker-1") -> str:
        """Make a server and let it boot; gives its address."""
        made = await self.create(name)
        self.clock.advance(BOOT_SECONDS)
        (server,) = await self.servers(id=made.id)
        return server.address

    async def servers(self, id: str = "", **metadata: str) -> list[messages.Server]:
        request = messages.ListServersRequest(metadata=metadata, id=id)
        return list((await self.cloud.ListServers(request)).servers)

    async def delete(self, id: str) -> None:
        await self.cloud.DeleteServer(messages.DeleteServerRequest(id=id))

    async def start(
        self,
        address: str,
        script: str = "sleep 5",
        *,
        key: str = "start",
        epoch: int = 1,
        adopt: bool = False,
        **environment: str,
    ) -> None:
        await self.hosts.StartCommand(
            messages.StartCommandRequest(
                address=address,
                operation_id="o1",
                key=key,
                epoch=epoch,
                adopt=adopt,
                script=script,
                environment=environment,
            )
        )

    async def poll(
        self,
        address: str,
        *,
        key: str = "start",
        wait: float = 0.0,
        offset: int = 0,
        epoch: int = 0,
    ) -> tuple[str, int | None]:
        """Look at a command; gives its output and its exit code."""
        request = messages.PollCommandRequest(
            address=address, operation_id="o1", key=key, offset=offset, epoch=epoch
        )
        request.wait.FromMilliseconds(int(wait * 1000))
        answer = await self.hosts.PollCommand(request)
        exit_code = answer.exit_code if answer.HasField("exit_code") else None
        return answer.output.decode(), exit_code

    async def run(self, address: str, script: str, *, key: str = "start") -> tuple[str, int | None]:
        """Run a command to its end at once, by moving the clock far enough."""
        await self.start(address, script, key=key)
        self.clock.advance(1000)
        return await self.poll(address, key=key)

    async def stop(self, address: str, *, key: str = "start", epoch: int = 1) -> None:
        await self.hosts.StopCommand(
            messages.StopCommandRequest(address=address, operation_id="o1", key=key, epoch=epoch)
        )

    async def wish(self, *behaviors: messages.Behavior) -> None:
        await self.control.AddBehaviors(messages.AddBehaviorsRequest(behaviors=behaviors))

    async def commands(self, name_glob: str = "") -> list[messages.CommandRecord]:
        request = messages.ListCommandsRequest(name_glob=name_glob)
        return list((await self.control.ListCommands(request)).commands)


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    """Run a simulator."""
    settings = SimulatorSettings(
        listen=f"unix:{tmp_path}/simulator.sock",
        seed=7,
        boot_seconds=BOOT_SECONDS,
        max_servers=MAX_SERVERS,
        drain_seconds=0.2,
    )
    clock = ManualClock()
    parts = build(settings, clock)
    async with serving.running([parts]), connect(parts.addresses[0]) as channel:
        yield Simulator(channel, clock)
