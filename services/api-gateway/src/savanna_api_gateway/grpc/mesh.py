"""The mesh over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.api.v1 import mesh_service_pb2 as pb
from savanna.api.v1 import mesh_service_pb2_grpc
from savanna_kit.context import current

if TYPE_CHECKING:
    from savanna_api_gateway.core.api import Api


class MeshServicer(mesh_service_pb2_grpc.MeshServiceServicer):
    """Translates."""

    def __init__(self, api: Api) -> None:
        self._mesh = api.mesh

    async def GetMeshStatus(
        self, request: pb.GetMeshStatusRequest, context: object
    ) -> pb.GetMeshStatusResponse:
        """Say how the mesh stands."""
        return pb.GetMeshStatusResponse(status=await self._mesh.status(current()))
