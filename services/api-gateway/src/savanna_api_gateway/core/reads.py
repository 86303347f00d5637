"""Reading clusters and jobs, by id or name, by page, all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna_api_gateway.shelf import checked_page_size, is_uuid
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.cluster.v1 import cluster_pb2
    from savanna.job.v1 import job_pb2
    from savanna_api_gateway.conductor import Conductor


class Clusters:
    """Reads clusters."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    async def get(self, project_id: str, cluster_id: str) -> cluster_pb2.Cluster:
        """Read a cluster by id.

        Raises ``NotFound``.
        """
        cluster = await self._conductor.cluster(project_id, cluster_id)
        if not cluster.id:
            raise _not_found("cluster", cluster_id)
        return cluster

    async def find(self, project_id: str, id_or_name: str) -> cluster_pb2.Cluster:
        """Read a cluster by id or name.

        Raises ``NotFound``.
        """
        if is_uuid(id_or_name):
            cluster = await self._conductor.cluster(project_id, id_or_name)
            if cluster.id:
                return cluster
        named = await self.named(project_id, id_or_name) if id_or_name else None
        if named is None:
            raise _not_found("cluster", id_or_name)
        return named

    async def named(self, project_id: str, name: str) -> cluster_pb2.Cluster | None:
        """Read a cluster by name; None when there is none."""
        page, _ = await self.page(project_id, page_size=2, name=name)
        own = [each for each in page if each.project_id == project_id]
        return next(iter([*own, *page]), None)

    async def page(
        self,
        project_id: str,
        *,
        page_size: int = 0,
        page_token: str = "",
        name: str = "",
        plugin_name: str = "",
        plugin_version: str = "",
    ) -> tuple[Sequence[cluster_pb2.Cluster], str]:
        """Read a page, oldest first, and the token of the next; empty at the end."""
        request = pb.ListClustersRequest(
            project_id=project_id,
            page_size=checked_page_size(page_size),
            page_token=page_token,
            name=name,
            plugin_name=plugin_name,
            plugin_version=plugin_version,
        )
        response = await self._conductor.clusters.ListClusters(request)
        return response.clusters, response.next_page_token

    async def all(
        self, project_id: str, *, name: str = "", plugin_name: str = "", plugin_version: str = ""
    ) -> Sequence[cluster_pb2.Cluster]:
        """Read all clusters."""
        clusters: list[cluster_pb2.Cluster] = []
        token = ""
        while True:
            page, token = await self.page(
                project_id,
                page_token=token,
                name=name,
                plugin_name=plugin_name,
                plugin_version=plugin_version,
            )
            clusters.extend(page)
            if not token:
                return clusters

    async def progress(self, project_id: str, cluster_id: str) -> Sequence[pb.ProgressStep]:
        """Read how far the cluster's exclusive operations are: tasks grouped by title."""
        name = pb.OwnedName(project_id=project_id, id=cluster_id)
        response = await self._conductor.clusters.GetProgress(pb.GetProgressRequest(name=name))
        return response.steps


class Jobs:
    """Reads jobs."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    async def get(self, project_id: str, job_id: str) -> job_pb2.Job:
        """Read a job by id.

        Raises ``NotFound``.
        """
        job = await self._conductor.job(project_id, job_id)
        if not job.id:
            raise _not_found("job", job_id)
        return job

    async def page(
        self,
        project_id: str,
        *,
        page_size: int = 0,
        page_token: str = "",
        cluster_id: str = "",
    ) -> tuple[Sequence[job_pb2.Job], str]:
        """Read a page, oldest first, and the token of the next; empty at the end."""
        request = pb.ListJobsRequest(
            project_id=project_id,
            page_size=checked_page_size(page_size),
            page_token=page_token,
            cluster_id=cluster_id,
        )
        response = await self._conductor.jobs.ListJobs(request)
        return response.jobs, response.next_page_token

    async def all(self, project_id: str) -> Sequence[job_pb2.Job]:
        """Read all jobs."""
        jobs: list[job_pb2.Job] = []
        token = ""
        while True:
            page, token = await self.page(project_id, page_token=token)
            jobs.extend(page)
            if not token:
                return jobs


def _not_found(noun: str, given: str) -> errors.NotFound:
    return errors.NotFound(
        f"there is no {noun} {given!r}; list the {noun}s to see which there are",
        reason="NOT_FOUND",
        metadata={"id": given},
    )
