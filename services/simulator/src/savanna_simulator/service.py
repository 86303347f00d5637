"""The simulator's servicers: they translate, nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from savanna.simulator.v1 import simulator_service_pb2 as messages
from savanna.simulator.v1 import simulator_service_pb2_grpc as stubs
from savanna_simulator.cloud import ACTIVE, ERROR
from savanna_simulator.hosts import Login, RunName

if TYPE_CHECKING:
    import grpc

    from savanna_simulator.behaviors import Behaviors
    from savanna_simulator.cloud import SimulatedServer, SimulatedServers
    from savanna_simulator.hosts import Command, Hosts

    Context = grpc.aio.ServicerContext[object, object]

MOST_WAIT = 20.0
"""Seconds that one look waits at most, whatever is asked: shorter than any caller's deadline."""


class SimulatedCloudService(stubs.SimulatedCloudServiceServicer):
    """Makes, lists and removes servers."""

    def __init__(self, servers: SimulatedServers) -> None:
        self._servers = servers

    async def CreateServer(
        self, request: messages.CreateServerRequest, context: Context
    ) -> messages.CreateServerResponse:
        """Make a server."""
        server = self._servers.create(request.name, dict(request.metadata))
        await self._servers.reply(server)
        return messages.CreateServerResponse(server=self._message(server))

    async def ListServers(
        self, request: messages.ListServersRequest, context: Context
    ) -> messages.ListServersResponse:
        """List servers."""
        found = self._servers.find(dict(request.metadata), request.id)
        return messages.ListServersResponse(servers=[self._message(each) for each in found])

    async def DeleteServer(
        self, request: messages.DeleteServerRequest, context: Context
    ) -> messages.DeleteServerResponse:
        """Remove a server."""
        self._servers.delete(request.id)
        return messages.DeleteServerResponse()

    async def GetLimits(
        self, request: messages.GetLimitsRequest, context: Context
    ) -> messages.GetLimitsResponse:
        """Say how many servers there may be, and are."""
        return messages.GetLimitsResponse(
            max_servers=self._servers.max_servers, used_servers=len(self._servers)
        )

    def _message(self, server: SimulatedServer) -> messages.Server:
        status = self._servers.status(server)
        message = messages.Server(
            id=server.id,
            name=server.name,
            metadata=server.metadata,
            status=status,
            address=server.address if status == ACTIVE else "",
            fault="it did not boot, as a behaviour wishes" if status == ERROR else "",
        )
        message.create_time.FromDatetime(server.made_at)
        return message


class SimulatedHostService(stubs.SimulatedHostServiceServicer):
    """Begins, looks at and stops commands."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    async def StartCommand(
        self, request: messages.StartCommandRequest, context: Context
    ) -> messages.StartCommandResponse:
        """Begin a command, or find it."""
        self._hosts.start(
            Login(request.address, request.host_key),
            RunName(request.operation_id, request.key),
            request.epoch,
            adopt=request.adopt,
            script=request.script,
            environment=dict(request.environment),
        )
        return messages.StartCommandResponse()

    async def PollCommand(
        self, request: messages.PollCommandRequest, context: Context
    ) -> messages.PollCommandResponse:
        """Look at a command; wait for its end."""
        time = asyncio.get_running_loop().time
        deadline = time() + min(request.wait.ToNanoseconds() / 1e9, MOST_WAIT)
        login = Login(request.address, request.host_key)
        name = RunName(request.operation_id, request.key)
        if not name.key:
            await self._hosts.log_in(login)
        while True:
            look = self._hosts.look(login, name, offset=request.offset, epoch=request.epoch)
            patience = deadline - time()
            if look.exit_code is not None or patience <= 0:
                return messages.PollCommandResponse(output=look.output, exit_code=look.exit_code)
            await look.changed(patience)

    async def StopCommand(
        self, request: messages.StopCommandRequest, context: Context
    ) -> messages.StopCommandResponse:
        """Stop a command."""
        login = Login(request.address, request.host_key)
        self._hosts.stop(login, RunName(request.operation_id, request.key), request.epoch)
        return messages.StopCommandResponse()


class SimulatorControlService(stubs.SimulatorControlServiceServicer):
    """Takes wishes, and tells what was run."""

    def __init__(self, behaviors: Behaviors, hosts: Hosts) -> None:
        self._behaviors = behaviors
        self._hosts = hosts

    async def AddBehaviors(
        self, request: messages.AddBehaviorsRequest, context: Context
    ) -> messages.AddBehaviorsResponse:
        """Add behaviours."""
        self._behaviors.add(request.behaviors)
        return messages.AddBehaviorsResponse()

    async def ListCommands(
        self, request: messages.ListCommandsRequest, context: Context
    ) -> messages.ListCommandsResponse:
        """List what was run."""
        found = self._hosts.commands(request.name_glob)
        return messages.ListCommandsResponse(commands=[_record(each) for each in found])


def _record(command: Command) -> messages.CommandRecord:
    return messages.CommandRecord(
        server=command.server,
        operation_id=command.name.operation_id,
        key=command.name.key,
        epoch=command.epoch,
        begin_order=command.begin_order,
        end_order=command.end_order,
        exit_code=command.exit_code,
        script=command.script,
        environment=command.environment,
    )
