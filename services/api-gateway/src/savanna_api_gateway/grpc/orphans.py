"""Orphans over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.api.v1 import orphan_service_pb2 as pb
from savanna.api.v1 import orphan_service_pb2_grpc
from savanna_kit.context import current

if TYPE_CHECKING:
    from savanna_api_gateway.core.api import Api


class OrphanServicer(orphan_service_pb2_grpc.OrphanServiceServicer):
    """Translates."""

    def __init__(self, api: Api) -> None:
        self._orphans = api.orphans

    async def ListOrphans(
        self, request: pb.ListOrphansRequest, context: object
    ) -> pb.ListOrphansResponse:
        """List them."""
        found = await self._orphans.all(current())
        return pb.ListOrphansResponse(orphans=found.orphans, foreign_servers=found.foreign_servers)

    async def CleanOrphan(
        self, request: pb.CleanOrphanRequest, context: object
    ) -> pb.CleanOrphanResponse:
        """Remove one."""
        outcome = await self._orphans.clean(current(), request.id)
        return pb.CleanOrphanResponse(outcome=outcome)
