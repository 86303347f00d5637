"""Clusters and operations over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.api.v1 import cluster_service_pb2 as pb
from savanna.api.v1 import cluster_service_pb2_grpc
from savanna.conductor.v1 import cluster_service_pb2 as conductor_pb
from savanna_api_gateway.core.scale import sorted_out
from savanna_kit.context import current

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from savanna_api_gateway.core.api import Api
    from savanna_kit.watches import Watches


class ClusterServicer(cluster_service_pb2_grpc.ClusterServiceServicer):
    """Translates."""

    def __init__(self, api: Api) -> None:
        self._clusters = api.clusters
        self._scaling = api.scaling

    async def CreateCluster(
        self, request: pb.CreateClusterRequest, context: object
    ) -> pb.CreateClusterResponse:
        """Check and store with its launch."""
        begun = await self._clusters.create(
            current(),
            request.cluster,
            validate_only=request.validate_only,
            request_id=request.request_id,
            on_failure=request.on_failure,
        )
        return pb.CreateClusterResponse(cluster=begun.cluster, operation=begun.operation)

    async def GetCluster(
        self, request: pb.GetClusterRequest, context: object
    ) -> pb.GetClusterResponse:
        """Read one by id or name."""
        cluster = await self._clusters.reads.find(current().project_id, request.id)
        return pb.GetClusterResponse(cluster=cluster)

    async def ListClusters(
        self, request: pb.ListClustersRequest, context: object
    ) -> pb.ListClustersResponse:
        """Read a page."""
        clusters, token = await self._clusters.reads.page(
            current().project_id, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListClustersResponse(clusters=clusters, next_page_token=token)

    async def ScaleCluster(
        self, request: pb.ScaleClusterRequest, context: object
    ) -> pb.ScaleClusterResponse:
        """Check and store with its operation."""
        caller = current()
        cluster = await self._clusters.reads.find(caller.project_id, request.id)
        begun = await self._scaling.scale(
            caller,
            cluster,
            sorted_out(cluster, request.node_groups),
            validate_only=request.validate_only,
            request_id=request.request_id,
            on_failure=request.on_failure,
        )
        return pb.ScaleClusterResponse(cluster=begun.cluster, operation=begun.operation)

    async def DeleteCluster(
        self, request: pb.DeleteClusterRequest, context: object
    ) -> pb.DeleteClusterResponse:
        """Begin the removal."""
        caller = current()
        cluster = await self._clusters.reads.find(caller.project_id, request.id)
        operation = await self._clusters.delete(caller, cluster, force=request.force)
        return pb.DeleteClusterResponse(operation=operation)

    async def GetClusterAccess(
        self, request: pb.GetClusterAccessRequest, context: object
    ) -> pb.GetClusterAccessResponse:
        """Give what is needed to log in."""
        caller = current()
        cluster = await self._clusters.reads.find(caller.project_id, request.id)
        access = await self._clusters.access(caller, cluster)
        return pb.GetClusterAccessResponse(
            instances=access.instances, private_key=access.private_key
        )


class OperationServicer(cluster_service_pb2_grpc.OperationServiceServicer):
    """Translates."""

    def __init__(self, api: Api, watches: Watches) -> None:
        self._operations = api.operations
        self._watches = watches

    async def GetOperation(
        self, request: pb.GetOperationRequest, context: object
    ) -> pb.GetOperationResponse:
        """Read one with its tasks and attempts."""
        answer = await self._operations.get(current(), request.id)
        return pb.GetOperationResponse(operation=answer.operation, tasks=answer.tasks)

    async def ListOperations(
        self, request: pb.ListOperationsRequest, context: object
    ) -> pb.ListOperationsResponse:
        """Read a page."""
        answer = await self._operations.page(
            current(),
            page_size=request.page_size,
            page_token=request.page_token,
            cluster_id=request.cluster_id,
        )
        return pb.ListOperationsResponse(
            operations=answer.operations, next_page_token=answer.next_page_token
        )

    async def CancelOperation(
        self, request: pb.CancelOperationRequest, context: object
    ) -> pb.CancelOperationResponse:
        """Ask for its end."""
        operation = await self._operations.cancel(current(), request.id)
        return pb.CancelOperationResponse(operation=operation)

    async def RetryOperation(
        self, request: pb.RetryOperationRequest, context: object
    ) -> pb.RetryOperationResponse:
        """Begin another try."""
        again = await self._operations.retry(current(), request.id, request.request_id)
        return pb.RetryOperationResponse(operation=again)

    async def RollbackOperation(
        self, request: pb.RollbackOperationRequest, context: object
    ) -> pb.RollbackOperationResponse:
        """Lead it back."""
        back = await self._operations.roll_back(current(), request.id, request.request_id)
        return pb.RollbackOperationResponse(operation=back)

    async def WatchOperations(
        self, request: pb.WatchOperationsRequest, context: object
    ) -> AsyncIterator[pb.WatchOperationsResponse]:
        """Follow what happens."""
        follow = conductor_pb.WatchJournalRequest(
            project_id=current().project_id,
            after_sequence=request.after_sequence,
            cluster_id=request.cluster_id,
            operation_id=request.operation_id,
            until_operation_ends=request.until_operation_ends,
        )
        async with self._watches.watch():
            async for answer in self._operations.watch(follow):
                yield pb.WatchOperationsResponse(entries=answer.entries)
