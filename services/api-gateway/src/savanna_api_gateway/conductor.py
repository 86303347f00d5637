"""The conductor as the gateway sees it: its stubs, with reads of single things shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.conductor.v1 import (
    catalog_service_pb2,
    catalog_service_pb2_grpc,
    cluster_service_pb2,
    cluster_service_pb2_grpc,
    facts_service_pb2_grpc,
    mesh_service_pb2_grpc,
)
from savanna_kit import context
from savanna_kit.channels import RetryPolicy
from savanna_kit.coalescer import Coalescer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc

    from savanna.cluster.v1 import cluster_pb2
    from savanna.job.v1 import job_pb2

_SERVICE = "savanna.conductor.v1."

RETRIES = RetryPolicy(
    methods=[
        _SERVICE + method
        for method in (
            # Reads, and writes that carry the id of their request: asking twice is asking once.
            "CatalogService/CreateItem",
            "CatalogService/GetItems",
            "CatalogService/ListItems",
            "ClusterService/CreateCluster",
            "ClusterService/GetClusters",
            "ClusterService/ListClusters",
            "ClusterService/ScaleCluster",
            "ClusterService/GetProgress",
            "JobService/CreateJob",
            "JobService/GetJobs",
            "JobService/ListJobs",
            "JobService/CancelJob",
            "JobService/ReadJobOutput",
            "OperationService/GetOperation",
            "OperationService/ListOperations",
            "OperationService/CancelOperation",
            "OperationService/RetryOperation",
            "OperationService/RollbackOperation",
            "FactsService/GetAccess",
            "MeshService/GetMeshStatus",
        )
    ]
)


class Conductor:
    """All that the gateway asks of the conductor."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.catalog = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        self.clusters = cluster_service_pb2_grpc.ClusterServiceStub(channel)
        self.jobs = cluster_service_pb2_grpc.JobServiceStub(channel)
        self.operations = cluster_service_pb2_grpc.OperationServiceStub(channel)
        self.facts = facts_service_pb2_grpc.FactsServiceStub(channel)
        self.mesh = mesh_service_pb2_grpc.MeshServiceStub(channel)
        self._items = Coalescer(self._get_items)
        self._clusters = Coalescer(self._get_clusters)
        self._jobs = Coalescer(self._get_jobs)

    async def item(
        self, project_id: str, kind: catalog_service_pb2.ItemKind.ValueType, item_id: str
    ) -> catalog_service_pb2.Item:
        """Read an item; one without content when there is none."""
        name = catalog_service_pb2.ItemName(project_id=project_id, kind=kind, id=item_id)
        return await self._items.call(name)

    async def cluster(self, project_id: str, cluster_id: str) -> cluster_pb2.Cluster:
        """Read a cluster; one without an id when there is none."""
        name = cluster_service_pb2.OwnedName(project_id=project_id, id=cluster_id)
        return await self._clusters.call(name)

    async def job(self, project_id: str, job_id: str) -> job_pb2.Job:
        """Read a job; one without an id when there is none."""
        name = cluster_service_pb2.OwnedName(project_id=project_id, id=job_id)
        return await self._jobs.call(name)

    async def _get_items(
        self, names: Sequence[catalog_service_pb2.ItemName]
    ) -> Sequence[catalog_service_pb2.Item]:
        _leave_first_caller()
        answer = await self.catalog.GetItems(catalog_service_pb2.GetItemsRequest(names=names))
        return answer.items

    async def _get_clusters(
        self, names: Sequence[cluster_service_pb2.OwnedName]
    ) -> Sequence[cluster_pb2.Cluster]:
        _leave_first_caller()
        answer = await self.clusters.GetClusters(
            cluster_service_pb2.GetClustersRequest(names=names)
        )
        return answer.clusters

    async def _get_jobs(
        self, names: Sequence[cluster_service_pb2.OwnedName]
    ) -> Sequence[job_pb2.Job]:
        _leave_first_caller()
        answer = await self.jobs.GetJobs(cluster_service_pb2.GetJobsRequest(names=names))
        return answer.jobs


def _leave_first_caller() -> None:
    # A shared call runs in the context of whoever came first, whose name and time are not the
    # others'.
    context.enter(context.RequestContext())
    context.enter_deadline(None)
