"""The engine's front: what its cloud offers, and what was left in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.engine.v1 import cloud_service_pb2 as messages
from savanna.engine.v1 import cloud_service_pb2_grpc as stubs
from savanna_engine.cloud.errors import CloudError
from savanna_kit import errors

if TYPE_CHECKING:
    import grpc

    from savanna_engine.cloud.base import Cloud
    from savanna_engine.sweeper import Sweeper
    from savanna_kit.executors import BoundedExecutor


class CloudService(stubs.CloudServiceServicer):
    """Looks things up in the cloud, and removes what was left in it."""

    def __init__(self, cloud: Cloud, threads: BoundedExecutor, sweeper: Sweeper) -> None:
        self._cloud = cloud
        self._threads = threads
        self._sweeper = sweeper

    async def GetCatalog(
        self,
        request: messages.GetCatalogRequest,
        context: grpc.aio.ServicerContext[messages.GetCatalogRequest, messages.GetCatalogResponse],
    ) -> messages.GetCatalogResponse:
        """Say what the cloud offers to a project."""
        try:
            catalog = await self._threads.run(self._cloud.catalog, request.project_id)
        except CloudError as error:
            raise errors.Unavailable(
                f"the cloud '{self._cloud.name}' does not say what it offers: {error}",
                reason=error.reason,
            ) from error
        return messages.GetCatalogResponse(catalog=catalog)

    async def ListOrphans(
        self,
        request: messages.ListOrphansRequest,
        context: grpc.aio.ServicerContext[
            messages.ListOrphansRequest, messages.ListOrphansResponse
        ],
    ) -> messages.ListOrphansResponse:
        """Compare the cloud with the conductor."""
        found = await self._sweeper.look()
        return messages.ListOrphansResponse(orphans=found.orphans, foreign_servers=found.foreign)

    async def CleanOrphan(
        self,
        request: messages.CleanOrphanRequest,
        context: grpc.aio.ServicerContext[
            messages.CleanOrphanRequest, messages.CleanOrphanResponse
        ],
    ) -> messages.CleanOrphanResponse:
        """Remove an orphan."""
        return messages.CleanOrphanResponse(outcome=await self._sweeper.clean(request.id))
