"""Clusters, as the gateway asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.conductor.v1 import cluster_service_pb2 as messages
from savanna.conductor.v1 import cluster_service_pb2_grpc as stubs
from savanna_conductor import clusters, history, queries

if TYPE_CHECKING:
    import grpc

    from savanna_conductor.keys import Secrets
    from savanna_conductor.store.transaction import Store, Transaction

    Context = grpc.aio.ServicerContext[object, object]


class ClusterService(stubs.ClusterServiceServicer):
    """Keeps clusters."""

    def __init__(self, store: Store, secrets: Secrets) -> None:
        self._store = store
        self._secrets = secrets

    async def CreateCluster(
        self, request: messages.CreateClusterRequest, context: Context
    ) -> messages.CreateClusterResponse:
        """Store a cluster and its launch."""

        return await self._store.write(lambda t: clusters.create(t, self._secrets, request))

    async def GetClusters(
        self, request: messages.GetClustersRequest, context: Context
    ) -> messages.GetClustersResponse:
        """Read clusters by id."""
        found = await self._store.read(lambda c: queries.clusters(c, request.names))
        return messages.GetClustersResponse(clusters=found)

    async def ListClusters(
        self, request: messages.ListClustersRequest, context: Context
    ) -> messages.ListClustersResponse:
        """List clusters."""
        found, token = await self._store.read(lambda c: queries.list_clusters(c, request))
        return messages.ListClustersResponse(clusters=found, next_page_token=token)

    async def UpdateCluster(
        self, request: messages.UpdateClusterRequest, context: Context
    ) -> messages.UpdateClusterResponse:
        """Replace fields of a cluster."""

        def write(transaction: Transaction) -> messages.UpdateClusterResponse:
            cluster_id = clusters.change(
                transaction,
                project_id=request.project_id,
                news=request.cluster,
                fields=request.update_mask.paths,
            )
            cluster = queries.cluster(transaction.connection, request.project_id, cluster_id)
            return messages.UpdateClusterResponse(cluster=cluster)

        return await self._store.write(write)

    async def ScaleCluster(
        self, request: messages.ScaleClusterRequest, context: Context
    ) -> messages.ScaleClusterResponse:
        """Store a change of size."""
        name = request.name

        def write(transaction: Transaction) -> messages.ScaleClusterResponse:
            operation_id = clusters.scale(transaction, request)
            connection = transaction.connection
            return messages.ScaleClusterResponse(
                cluster=queries.cluster(connection, name.project_id, name.id),
                operation=queries.operation(connection, operation_id),
            )

        return await self._store.write(write)

    async def DeleteCluster(
        self, request: messages.DeleteClusterRequest, context: Context
    ) -> messages.DeleteClusterResponse:
        """Store a delete."""

        def write(transaction: Transaction) -> messages.DeleteClusterResponse:
            operation_id = clusters.remove(
                transaction,
                project_id=request.name.project_id,
                cluster_id=request.name.id,
                force=request.force,
            )
            operation = queries.operation(transaction.connection, operation_id)
            return messages.DeleteClusterResponse(operation=operation)

        return await self._store.write(write)

    async def GetProgress(
        self, request: messages.GetProgressRequest, context: Context
    ) -> messages.GetProgressResponse:
        """Group the tasks of a cluster's exclusive operations by title."""
        steps = await self._store.read(lambda c: history.progress(c, request.name))
        return messages.GetProgressResponse(steps=steps)
