"""One trace from the call of the API to the command on a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.simulator.v1.simulator_service_pb2 import ListCommandsRequest
from savanna_kit import telemetry
from tests.e2e.meshes import simulator_of, user_of

if TYPE_CHECKING:
    from savanna_all_in_one.mesh import Mesh


async def test_the_trace_of_a_call_reaches_the_commands_on_hosts(mesh: Mesh) -> None:
    asked = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with user_of(mesh) as user, simulator_of(mesh) as simulator:
        with telemetry.span("a user's own span", asked):
            begun = await user.launch("traced", workers=2)
        await user.client.wait(begun.operation.id)
        records = await simulator.ListCommands(ListCommandsRequest(name_glob="traced-*"))
        traces = {each.environment["TRACEPARENT"].split("-")[1] for each in records.commands}
        assert traces == {asked.split("-")[1]}
        assert begun.operation.traceparent.split("-")[1] == asked.split("-")[1]
        await user.delete("traced")
