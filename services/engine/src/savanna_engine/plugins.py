"""The plugin servers that this engine plans with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.plugin.v1 import plugin_service_pb2, plugin_service_pb2_grpc
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc

_DESCRIBE_SECONDS = 3.0
_PLAN_SECONDS = 30.0


class Plugins:
    """Finds a plugin by the name that it gives itself."""

    def __init__(self, channels: Sequence[grpc.aio.Channel]) -> None:
        self._stubs: list[plugin_service_pb2_grpc.PluginServiceAsyncStub] = [
            plugin_service_pb2_grpc.PluginServiceStub(each) for each in channels
        ]
        self._by_name: dict[str, plugin_service_pb2_grpc.PluginServiceAsyncStub] = {}

    async def plan(
        self, name: str, request: plugin_service_pb2.PlanRequest
    ) -> plugin_service_pb2.PlanResponse:
        """Ask for steps.

        Raises ``InvalidArgument`` when the goal can not be reached, ``Unavailable`` when no such
        plugin answers.
        """
        stub = await self._find(name)
        return await stub.Plan(request, timeout=_PLAN_SECONDS)

    async def ports(
        self, name: str, request: plugin_service_pb2.GetRequirementsRequest
    ) -> Sequence[int]:
        """Ask for the TCP ports that any node group needs open, in order."""
        stub = await self._find(name)
        answer = await stub.GetRequirements(request, timeout=_PLAN_SECONDS)
        return sorted({port for group in answer.groups for port in group.ports})

    async def _find(self, name: str) -> plugin_service_pb2_grpc.PluginServiceAsyncStub:
        if name not in self._by_name:
            for stub in self._stubs:
                await self._meet(stub)
        if name not in self._by_name:
            raise errors.Unavailable(
                f"no plugin server that calls itself {name!r} answers: start it, "
                "or name its address in SAVANNA_ENGINE_PLUGINS"
            )
        return self._by_name[name]

    async def _meet(self, stub: plugin_service_pb2_grpc.PluginServiceAsyncStub) -> None:
        try:
            request = plugin_service_pb2.DescribeRequest()
            answer = await stub.Describe(request, timeout=_DESCRIBE_SECONDS)
        except errors.SavannaError:
            # One that does not answer is not known; whoever needs it is told so.
            return
        self._by_name[answer.plugin.name] = stub
