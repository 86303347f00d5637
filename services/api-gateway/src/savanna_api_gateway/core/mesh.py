"""How the mesh stands, for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.conductor.v1 import mesh_service_pb2 as pb
from savanna_api_gateway.core.operators import require_operator

if TYPE_CHECKING:
    from savanna.mesh.v1 import mesh_pb2
    from savanna_api_gateway.conductor import Conductor
    from savanna_kit.context import RequestContext


class Mesh:
    """Who is alive, who owns what, what waits for what and why."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    async def status(self, caller: RequestContext) -> mesh_pb2.MeshStatus:
        """Read it.

        Raises ``PermissionDenied`` for those who are no operators.
        """
        require_operator(caller, "the status of the mesh")
        answer = await self._conductor.mesh.GetMeshStatus(pb.GetMeshStatusRequest())
        return answer.status
