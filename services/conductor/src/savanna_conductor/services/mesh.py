"""How the mesh stands, as the gateway asks for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.conductor.v1 import mesh_service_pb2 as messages
from savanna.conductor.v1 import mesh_service_pb2_grpc as stubs
from savanna_conductor import mesh

if TYPE_CHECKING:
    import grpc

    from savanna_conductor.store.transaction import Store

    Context = grpc.aio.ServicerContext[object, object]


class MeshService(stubs.MeshServiceServicer):
    """Tells how the mesh stands."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def GetMeshStatus(
        self, request: messages.GetMeshStatusRequest, context: Context
    ) -> messages.GetMeshStatusResponse:
        """Read everything on one snapshot."""
        return messages.GetMeshStatusResponse(status=await self._store.read(mesh.status))
